"""Calls of every public function on mutated frames: right, refused in words, or a raw error.

Where a mutation changes the dress of the values and not the values, "right" is what the plain
frame gives. A refusal is an error that this package raises itself. An error that comes out of a
library's code is raw: it names neither a column nor a remedy. ``python -m tests.fuzz.driver 500``
prints what a run finds, ``python -m tests.fuzz.driver 500 0 1000`` what the 500 calls of seed 0
from the 1,000th on find.
"""

import decimal
import locale
import logging
import os
import random
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info

from tests.fuzz.answers import asked, differences, tables_of
from tests.fuzz.calls import CALLS
from tests.fuzz.frames import frames
from tests.fuzz.mutations import MUTATIONS, SAME

PACKAGE = Path(__file__).parents[2] / "alliance_stats"
# A call on some dozens of rows that takes more time of the processor hangs; so does one that
# waits so much longer, whatever else the machine has to do.
SECONDS, WAITING = 20, 600
# Draws of residuals follow the rows: in another order they are others, as is said there.
DRAWN_ROW_BY_ROW = {
    "parametric_bootstrap",
    "dropout_sensitivity",
    "reference_imputation",
    "residual_checks",
    "sensitivity_by_group",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call."""

    call: str
    mutation: str
    seed: int
    kind: str  # right, refused, raw, hang, changed, different
    detail: str


class Hang(BaseException):
    """A call that took too long."""


def run(n_calls: int, *, seed: int = 0, skip: int = 0) -> Iterator[Outcome]:
    """Make `n_calls` calls from the `skip`-th on, in a seeded order of functions and mutations."""
    pairs = [(call, mutation) for mutation in MUTATIONS for call in CALLS]
    order = np.random.default_rng(seed).permutation(len(pairs))
    for number in range(skip, skip + n_calls):
        call, mutation = pairs[order[number % len(pairs)]]
        yield one(call, mutation, seed + number)


def one(call: str, mutation: str, seed: int) -> Outcome:
    """Make one call on one mutated frame."""
    base, function = CALLS[call]
    mutate = MUTATIONS[mutation]
    try:
        data = mutate(frames()[base], np.random.default_rng(seed))
    except (TypeError, ValueError, NotImplementedError) as impossible:  # not for such a column
        return Outcome(call, mutation, seed, "right", f"no such frame: {impossible}")
    given = _written(data)
    before = settings()
    kind, detail = "right", ""
    try:
        with _limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            filters = warnings.filters[:]
            found = function(data)
            asked(found)
            if warnings.filters != filters:
                kind, detail = "changed", "the caller's filters of warnings were changed"
            other_draws = mutation == "shuffled" and call in DRAWN_ROW_BY_ROW
            if mutation in SAME and kind == "right" and not other_draws:
                detail = differences(tables_of(found), _plain(call), ordered=mutation != "shuffled")
                kind = "different" if detail else kind
    except Hang:
        return Outcome(call, mutation, seed, "hang", f"more than {SECONDS} s")
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  (what kind of error it is, is the question)
        if mutation != "as it is" and not _own_steps(error):  # the call itself met pandas
            return Outcome(call, mutation, seed, "right", f"no such frame: {error}")
        own = _raised_here(error)
        kind, detail = ("refused" if own else "raw"), _told(error)
        if kind == "refused" and mutation in SAME:
            kind = "different"
    other = changed_settings(before, settings())
    if other:
        return Outcome(call, mutation, seed, "changed", f"settings were changed: {list(other)}")
    if _written(data) != given:
        return Outcome(call, mutation, seed, "changed", "the caller's frame was changed")
    return Outcome(call, mutation, seed, kind, detail)


@cache
def _plain(call: str) -> list[pd.DataFrame]:
    """Return what the call gives on the plain frame."""
    base, function = CALLS[call]
    return tables_of(function(frames()[base]))


def settings() -> dict[str, object]:
    """Return what a library must leave as the caller has set it."""
    drawn = np.random.get_state()  # noqa: NPY002
    return {
        "np.errstate": np.geterr(),
        "np.printoptions": repr(np.get_printoptions()),
        "warnings": warnings.filters[:],
        "rcParams": dict(mpl.rcParams),
        "open figures": plt.get_fignums(),
        "numpy's random state": (drawn[1].tobytes(), drawn[2]),
        "random's state": random.getstate(),
        "pandas options": repr(pd.core.config_init.cf._global_config),
        "threads": [pool["num_threads"] for pool in threadpool_info()],
        "locale": locale.setlocale(locale.LC_ALL),
        "folder": Path.cwd(),
        "environment": {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"},
        "decimal": (decimal.getcontext().prec, decimal.getcontext().rounding),
        "recursion": sys.getrecursionlimit(),
        "logging": logging.root.level,
    }


def changed_settings(before: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    """Return what is another now than it was; libraries that were first loaded add threads."""
    pools = [len(list(at["threads"])) for at in (before, after)]  # type: ignore[call-overload]
    loaded = pools[0] < pools[1]
    return {
        name: (was, after[name])
        for name, was in before.items()
        if was != after[name] and not (loaded and name == "threads")
    }


def _written(data: object) -> object:
    """Return a frame's names, types, labels and cells in writing."""
    if not isinstance(data, pd.DataFrame):
        return None
    cells = [list(map(repr, data.iloc[:, i])) for i in range(data.shape[1])]
    return repr(list(data.columns)), list(map(str, data.dtypes)), repr(list(data.index)), cells


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    clocks = (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, WAITING),
    )
    before = [signal.signal(sign, stop) for sign, _, _ in clocks]
    for _, clock, most in clocks:
        signal.setitimer(clock, most)
    try:
        yield
    finally:
        for (sign, clock, _), old in zip(clocks, before, strict=True):
            signal.setitimer(clock, 0)
            signal.signal(sign, old)


def _raised_here(error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-1]
    raised = (last.line or "").startswith("raise ")
    return Path(last.filename).is_relative_to(PACKAGE) and raised


def _own_steps(error: BaseException) -> list[traceback.FrameSummary]:
    steps = traceback.extract_tb(error.__traceback__)
    return [step for step in steps if Path(step.filename).is_relative_to(PACKAGE)]


def _told(error: BaseException) -> str:
    own = _own_steps(error)
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__} at {place}: {first[:110]}"


if __name__ == "__main__":
    n_calls, seed, skip = (*map(int, sys.argv[1:]), 0, 0)[:3]
    kinds: Counter[str] = Counter()
    for number, outcome in enumerate(run(n_calls, seed=seed, skip=skip), start=skip):
        kinds[outcome.kind] += 1
        if outcome.kind not in {"right", "refused"}:
            print(number, outcome, flush=True)  # noqa: T201
    print(kinds)  # noqa: T201
