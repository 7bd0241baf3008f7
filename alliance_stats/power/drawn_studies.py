"""Studies drawn and analysed by any number of workers, and stored as they come.

Study i of a cell draws from a separate random stream, determined by the seed, the cell's
assumptions and i: the same studies whatever the number of workers, their order, or what was drawn
before. Answers of some studies at a time are appended to a Parquet data set (a folder of files,
each written whole or not at all); a stopped run continues with those that are missing.
"""

import functools
import hashlib
import inspect
import json
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, is_dataclass, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import AllianceStatsWarning, DataError, WrongObjectError
from alliance_stats.output import write_whole
from alliance_stats.power.assumptions import Design, UncertainDesign, changed, settled

__all__ = ["Analysis", "Plan", "Workers", "draw_studies"]

Analysis = Callable[[Any], pd.DataFrame]

_ASKED_OF_A_DESIGN = ("truth", "draw", "closed_form", "assumptions")
# Files of a data set that open so are none of its parts, for every reader of Parquet
_PLAN = "_plan.json"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is drawn and analysed.

    Attributes
    ----------
    design, analysis
        The study and its analysis.
    seed
        Of all studies.
    store
        Folder that keeps the answers, or None.
    """

    design: Design
    analysis: Analysis
    seed: int
    store: Path | None = None

    def __post_init__(self) -> None:
        for called, value in (("design", self.design), ("analysis", self.analysis)):
            if inspect.isclass(value):
                raise WrongObjectError(
                    f"The {called} is the class {value.__name__}: write {value.__name__}(...)."
                )
        lacking = [name for name in _ASKED_OF_A_DESIGN if not hasattr(self.design, name)]
        if lacking:
            raise WrongObjectError(
                f"A design has {', '.join(_ASKED_OF_A_DESIGN)}; {type(self.design).__name__} has "
                f"no {lacking[0]}."
            )
        if not callable(self.analysis):
            raise WrongObjectError(
                f"The analysis is a function of a drawn study; got {type(self.analysis).__name__}."
            )

    def cell(self, changes: Mapping[str, object]) -> Design:
        """Return the design with some assumptions changed."""
        return changed(self.design, changes)

    def closed_form(self, changes: Mapping[str, object], alpha: float) -> Mapping[str, float]:
        """Return the power of terms for which the analysis, or else the design, has a formula."""
        design = self.cell(changes)
        own = getattr(self.analysis, "closed_form", None)
        if own is None:
            return design.closed_form(alpha)
        if isinstance(design, UncertainDesign):
            return design.mean_over_sets(lambda at: own(at, alpha))
        found: Mapping[str, float] = own(design, alpha)
        return found

    @property
    def closed_form_name(self) -> str:
        """Name of the closed form."""
        has = self.analysis if hasattr(self.analysis, "closed_form") else self.design
        return str(getattr(has, "closed_form_name", "by formula"))

    def open_store(self) -> None:
        """Make the folder, or check that it belongs to this plan.

        Raises
        ------
        DataError
            If the folder holds the studies of another plan.
        """
        if self.store is None:
            return
        self.store.mkdir(parents=True, exist_ok=True)
        said = {
            "design": repr(_without_sources(self.design)),
            "analysis": _named(self.analysis),
            "seed": int(self.seed),
            "version": version("alliance-stats"),
        }
        path = self.store / _PLAN
        if not path.exists():
            write_whole(path, json.dumps(said, indent=1))
            return
        held = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name, value in said.items() if held.get(name) != value]
        if other:
            raise DataError(
                f"The folder '{self.store}' holds studies of another plan: its {other[0]} is "
                f"{held.get(other[0])}. Choose a folder of its own for this one."
            )


def _written(changes: Mapping[str, object]) -> str:
    """Return a cell's assumptions as text, the same in every run."""
    return json.dumps({name: repr(value) for name, value in sorted(changes.items())})


def _kept_part(plan: Plan, changes: Mapping[str, object], numbers: range) -> pd.DataFrame | None:
    """Return the stored answers of a cell's studies, or None."""
    if plan.store is None or not (path := _file(plan, changes, numbers)).exists():
        return None
    return pd.read_parquet(path).drop(columns="assumptions")


def _keep_part(
    plan: Plan, changes: Mapping[str, object], numbers: range, frame: pd.DataFrame
) -> None:
    """Append answers of a cell's studies to the data set, with their assumptions.

    Raises
    ------
    DataError
        If Parquet cannot be written.
    """
    if plan.store is None:
        return
    whole = BytesIO()
    try:
        frame.assign(assumptions=_written(changes)).to_parquet(whole, index=False)
    except ImportError as error:
        raise DataError(
            "Studies are kept as Parquet, which needs pyarrow: pip install 'alliance-stats[files]'."
        ) from error
    write_whole(_file(plan, changes, numbers), whole.getvalue())


def _file(plan: Plan, changes: Mapping[str, object], numbers: range) -> Path:
    assert plan.store is not None  # asked for only where there is a folder
    cell = hashlib.sha256(_written(changes).encode()).hexdigest()[:12]
    return plan.store / f"studies-{cell}-{numbers.start:06d}-{numbers.stop:06d}.parquet"


def _without_sources(design: Design) -> Design:
    """Return the design without the sources of its assumptions, which change no digit."""
    if isinstance(design, UncertainDesign):
        return replace(design, design=_without_sources(design.design))
    if is_dataclass(design) and hasattr(design, "sources"):
        return replace(design, sources={})
    return design


def _named(analysis: Analysis) -> str:
    """Return the name and settings of the analysis, the same in every run.

    For a function also its code: one that was changed under its old name is another analysis.
    """
    if isinstance(analysis, functools.partial):
        given = [*analysis.args, *sorted(analysis.keywords.items())]
        return f"partial({_named(analysis.func)}, {given!r})"
    code = getattr(analysis, "__code__", None)
    if code is None:
        return repr(analysis)
    inside = [cell.cell_contents for cell in getattr(analysis, "__closure__", None) or ()]
    held = [_named(value) if callable(value) else repr(value) for value in inside]
    held.append(repr(getattr(analysis, "__defaults__", None)))
    mark = hashlib.sha256("\n".join([*_text_of(code), *held]).encode()).hexdigest()[:12]
    return f"{analysis.__module__}.{getattr(analysis, '__qualname__', '')} {mark}"


def _text_of(code: CodeType) -> list[str]:
    """Return a function's code as text, without line numbers."""
    inner = [text for c in code.co_consts if isinstance(c, CodeType) for text in _text_of(c)]
    plain = [repr(c) for c in code.co_consts if not isinstance(c, CodeType)]
    return [code.co_code.hex(), repr(code.co_names), *plain, *inner]


Workers = Any
"""A number of processes, or a Dask client."""

_CHUNK = 10  # studies a task: what is lost, at most, where a worker dies
_RETRIES = 3  # of a chunk whose worker died
_NEEDED = ("term", "estimate", "p_value")
_NUMBERS = ("estimate", "p_value", "conf_low", "conf_high")
_LONGEST = 200  # characters of a reason

_Task = tuple[int, range]


def draw_studies(
    plan: Plan,
    cells: Sequence[Mapping[str, object]],
    n_studies: int,
    *,
    start: int = 0,
    workers: Workers = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Draw studies `start` to `n_studies` of each cell and analyse them.

    Returns
    -------
    DataFrame
        A row per cell, study and term: ``cell`` (its place), ``study, term, truth, estimate,
        p_value, conf_low, conf_high, singular, failed``; for a failed study, one row without a
        term, with the reason.
    """
    plan.open_store()
    tasks = [
        (place, range(first, min(first + _CHUNK, n_studies)))
        for place in range(len(cells))
        for first in range(start, n_studies, _CHUNK)
    ]
    designs = [plan.cell(changes) for changes in cells]
    found = {
        task: kept
        for task in tasks
        if (kept := _kept_part(plan, cells[task[0]], task[1])) is not None
    }
    for _ in range(_RETRIES):
        left = [task for task in tasks if task not in found]
        if not left:
            break
        try:
            for task, frame in _run(plan, designs, cells, left, workers=workers, progress=progress):
                found[task] = frame
                _keep_part(plan, cells[task[0]], task[1], frame)
        except _lost(workers):  # a worker was killed: its studies are drawn again
            continue
    left = [task for task in tasks if task not in found]
    if left:
        raise RuntimeError(
            f"Workers were killed {_RETRIES} times, {len(left)} parts of the plan are missing: is "
            "there too little memory for so many workers? With store= the run goes on where it was."
        )
    frames = [found[task].assign(cell=task[0]) for task in tasks]
    drawn = pd.concat(frames, ignore_index=True)
    return drawn[["cell", *(name for name in drawn.columns if name != "cell")]]


def _lost(workers: Workers) -> tuple[type[Exception], ...]:
    """Return the error to raise if a worker dies."""
    if isinstance(workers, int):
        return (TerminatedWorkerError,)
    from distributed import KilledWorker  # of the extra that such a client is from

    return (TerminatedWorkerError, KilledWorker)


def _run(
    plan: Plan,
    designs: Sequence[Design],
    cells: Sequence[Mapping[str, object]],
    tasks: Sequence[_Task],
    *,
    workers: Workers,
    progress: bool,
) -> Iterable[tuple[_Task, pd.DataFrame]]:
    n_jobs = workers if isinstance(workers, int) else None
    where: AbstractContextManager[object] = nullcontext()
    if n_jobs is None:
        where = parallel_config(backend="dask", client=workers, wait_for_workers_timeout=60)
    columns = [*Progress.get_default_columns()[:-1], TimeRemainingColumn()]
    bar = Progress(*columns, console=Console(stderr=True), disable=not progress, transient=True)
    with where, bar:
        row = bar.add_task("Studies", total=sum(len(numbers) for _, numbers in tasks))
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered")
        calls = (
            delayed(_chunk)(plan.analysis, designs[task[0]], _key(plan.seed, cells[task[0]]), task)
            for task in tasks
        )
        for task, frame in parallel(calls):
            bar.advance(row, len(task[1]))
            yield task, frame


def _key(seed: int, changes: Mapping[str, object]) -> tuple[int, int]:
    return seed, zlib.crc32(_written(changes).encode())


def _chunk(
    analysis: Analysis, design: Design, key: tuple[int, int], task: _Task
) -> tuple[_Task, pd.DataFrame]:
    rows = []
    with one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", AllianceStatsWarning)  # boundaries are counted
        for number in task[1]:
            rng = np.random.default_rng([*key, number])
            own = settled(design, rng)
            truth = own.truth
            for answer in _answers(analysis, own.draw(rng)):
                name = answer.pop("parameter", answer["term"])
                rows.append({"study": number, "truth": truth.get(str(name), np.nan)} | answer)
    frame = pd.DataFrame(rows)
    numbers = {name: frame.get(name, np.nan) for name in _NUMBERS}
    singular = frame.get("singular", pd.Series(False, index=frame.index)).eq(True)
    failed = frame.get("failed", pd.Series("", index=frame.index)).fillna("")
    kept = frame[["study", "term", "truth"]].astype({"term": object, "truth": np.float64})
    return task, kept.assign(**numbers, singular=singular, failed=failed).astype(
        dict.fromkeys(_NUMBERS, np.float64)
    )


def _answers(analysis: Analysis, study: object) -> list[dict[str, Any]]:
    """Analyse a study; failures, and terms without a p-value, are recorded as such."""
    try:
        answer = analysis(study)
    except Exception as refusal:  # noqa: BLE001  an analysis is anyone's: it is named and counted
        reason = f"{type(refusal).__name__}: {refusal}"
        return [{"term": None, "failed": reason[:_LONGEST]}]
    if not isinstance(answer, pd.DataFrame):
        raise DataError(
            f"The analysis returns {type(answer).__name__}; it must return a frame with "
            f"{', '.join(_NEEDED)}."
        )
    missing = [name for name in _NEEDED if name not in answer]
    if missing:
        raise DataError(
            f"The analysis gives no column '{missing[0]}'; it must return a frame with "
            f"{', '.join(_NEEDED)}."
        )
    if answer.empty:
        return [{"term": None, "failed": "the analysis returned no row"}]
    twice = answer["term"][answer["term"].duplicated()]
    if len(twice):
        raise DataError(f"The analysis gives the term '{twice.iloc[0]}' twice; name each once.")
    for name in ("estimate", "p_value"):
        text = [value for value in answer[name] if isinstance(value, str)]
        if text:
            raise DataError(f"The analysis gives the text {text[0]!r} for the number '{name}'.")
    wrong = answer["p_value"].dropna()
    wrong = wrong[(wrong < 0.0) | (wrong > 1.0)]
    if len(wrong):
        raise DataError(f"The analysis gives a p_value of {wrong.iloc[0]}; it lies in [0, 1].")
    known = (*_NEEDED, "parameter", "conf_low", "conf_high", "singular")
    answers: list[dict[str, Any]] = answer[[n for n in known if n in answer]].to_dict("records")
    for one in answers:
        if not np.isfinite(one["p_value"]) or not np.isfinite(one["estimate"]):
            one["failed"] = f"no estimate with a p-value for '{one['term']}'"
    return answers
