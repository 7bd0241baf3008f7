"""Studies drawn and analysed by any number of workers, and stored as they come.

Study i of a cell draws from a separate random stream, determined by the seed, the cell's
assumptions and i: the same studies whatever the number of workers, their order, or what was drawn
before. Answers of some studies at a time are appended to a Parquet data set (a folder of files,
each written whole or not at all); a stopped run continues with those that are missing.
"""

import warnings
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.power.assumptions import Design
from alliance_stats.power.kept_studies import Analysis, Plan, keep_part, kept_part, written
from alliance_stats.power.uncertain_designs import settled

__all__ = ["Workers", "draw_studies"]

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
        if (kept := kept_part(plan, cells[task[0]], task[1])) is not None
    }
    for _ in range(_RETRIES):
        left = [task for task in tasks if task not in found]
        if not left:
            break
        try:
            for task, frame in _run(plan, designs, cells, left, workers=workers, progress=progress):
                found[task] = frame
                keep_part(plan, cells[task[0]], task[1], frame)
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
    return seed, zlib.crc32(written(changes).encode())


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
