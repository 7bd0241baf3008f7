"""Calls of every public function on mutated frames: right, refused in words, or a raw error.

A refusal is an error that this package raises itself. An error that comes out of a library's code
is raw: it names neither a column nor a remedy. ``python -m tests.fuzz.driver 500`` prints what a
run finds.
"""

import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import matplotlib as mpl
import numpy as np

from tests.fuzz.calls import CALLS, asked, frames
from tests.fuzz.mutations import MUTATIONS

PACKAGE = Path(__file__).parents[2] / "alliance_stats"
SECONDS = 20  # a call on some dozens of rows that takes longer hangs


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one call."""

    call: str
    mutation: str
    seed: int
    kind: str  # right, refused, raw, hang, changed
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
    if mutation != "as it is":
        try:
            data = mutate(frames()[base], np.random.default_rng(seed))
        except (TypeError, ValueError, NotImplementedError) as impossible:  # not for such a column
            return Outcome(call, mutation, seed, "right", f"no such frame: {impossible}")
    else:
        data = frames()[base]
    before = np.geterr(), warnings.filters[:], dict(mpl.rcParams), np.random.get_state()[1].sum()  # noqa: NPY002
    kind, detail = "right", ""
    try:
        with _limit(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked(function(data))
    except Hang:
        return Outcome(call, mutation, seed, "hang", f"more than {SECONDS} s")
    except (ImportError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001  (what kind of error it is, is the question)
        own = _raised_here(error)
        kind, detail = ("refused" if own else "raw"), _told(error)
    after = np.geterr(), warnings.filters[:], dict(mpl.rcParams), np.random.get_state()[1].sum()  # noqa: NPY002
    if after != before:
        return Outcome(call, mutation, seed, "changed", "the caller's settings were changed")
    return Outcome(call, mutation, seed, kind, detail)


@contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise Hang

    old = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def _raised_here(error: BaseException) -> bool:
    last = traceback.extract_tb(error.__traceback__)[-1]
    worded = not isinstance(error, AttributeError | KeyError | IndexError | ZeroDivisionError)
    return Path(last.filename).is_relative_to(PACKAGE) and worded


def _told(error: BaseException) -> str:
    own = [
        step
        for step in traceback.extract_tb(error.__traceback__)
        if Path(step.filename).is_relative_to(PACKAGE)
    ]
    place = f"{Path(own[-1].filename).name}:{own[-1].lineno}" if own else "?"
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__} at {place}: {first[:110]}"


if __name__ == "__main__":
    outcomes = list(run(int(sys.argv[1]), seed=int(sys.argv[2]) if len(sys.argv) > 2 else 0))
    print(Counter(outcome.kind for outcome in outcomes))  # noqa: T201
    for outcome in outcomes:
        if outcome.kind not in {"right", "refused"}:
            print(outcome)  # noqa: T201
