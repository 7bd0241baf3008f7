"""Studies drawn and analysed, by as many workers as there are, and kept as they come.

Study i of a cell draws from a stream of its own, made of the seed, the cell's assumptions and i:
the same studies whatever the number of workers, their order, or what was drawn before. Answers of
some studies at a time are written to a folder of Parquet files, whole or not at all; a run that
was stopped goes on with those that are missing.
"""

import hashlib
import json
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import AllianceStatsError, AllianceStatsWarning, DataError
from alliance_stats.output import write_whole
from alliance_stats.power.study_designs import Design, varied

__all__ = ["Analysis", "Plan", "Workers", "draw_studies"]

Analysis = Callable[[Any], pd.DataFrame]
Workers = Any
"""A number of processes, or a Dask client."""

_CHUNK = 10  # studies a task: what is lost, at most, where a worker dies
_RETRIES = 3  # of a chunk whose worker died
_NEEDED = ("term", "estimate", "p_value")
_NUMBERS = ("estimate", "p_value", "conf_low", "conf_high")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What is drawn and asked.

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

    def cell(self, changes: Mapping[str, object]) -> Design:
        """Return the design with some assumptions changed."""
        return varied(self.design, changes)

    def open_store(self) -> None:
        """Make the folder, or see that it belongs to this plan.

        Raises
        ------
        DataError
            If the folder holds the studies of another plan.
        """
        if self.store is None:
            return
        self.store.mkdir(parents=True, exist_ok=True)
        said = {"design": repr(self.design), "analysis": _named(self.analysis), "seed": self.seed}
        path = self.store / "plan.json"
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


def draw_studies(
    plan: Plan,
    cells: Sequence[Mapping[str, object]],
    n_studies: int,
    *,
    start: int = 0,
    workers: Workers = 1,
    progress: bool = False,
) -> pd.DataFrame:
    """Draw studies `start` to `n_studies` of each cell and ask them.

    Returns
    -------
    DataFrame
        A row a cell, study and term: the cell's assumptions, ``study, term, parameter, truth,
        estimate, p_value, conf_low, conf_high, singular, failed``; of a study that failed one row
        without a term, and why.
    """
    plan.open_store()
    tasks = [
        (place, range(first, min(first + _CHUNK, n_studies)))
        for place in range(len(cells))
        for first in range(start, n_studies, _CHUNK)
    ]
    designs = [plan.cell(changes) for changes in cells]
    found = {
        task: kept for task in tasks if (kept := _kept(plan, cells[task[0]], task[1])) is not None
    }
    for _ in range(_RETRIES):
        left = [task for task in tasks if task not in found]
        if not left:
            break
        try:
            for task, frame in _run(plan, designs, cells, left, workers=workers, progress=progress):
                found[task] = frame
                _keep(plan, cells[task[0]], task[1], frame)
        except TerminatedWorkerError:  # a worker was killed: its studies are drawn again
            continue
    left = [task for task in tasks if task not in found]
    if left:
        raise RuntimeError(
            f"Workers were killed {_RETRIES} times, {len(left)} parts of the plan are missing: is "
            "there too little memory for so many workers? With store= the run goes on where it was."
        )
    frames = []
    for task in tasks:
        frame = found[task]
        for name, value in reversed(list(cells[task[0]].items())):
            frame.insert(0, name, value)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


_Task = tuple[int, range]


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


def _written(changes: Mapping[str, object]) -> str:
    return json.dumps({name: repr(value) for name, value in sorted(changes.items())})


def _chunk(
    analysis: Analysis, design: Design, key: tuple[int, int], task: _Task
) -> tuple[_Task, pd.DataFrame]:
    truth, rows = design.truth, []
    with one_blas_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", AllianceStatsWarning)  # boundaries are counted
        for number in task[1]:
            for answer in _answers(analysis, design, np.random.default_rng([*key, number])):
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


def _answers(analysis: Analysis, design: Design, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Draw one study and ask it; a refusal is an answer of its own."""
    try:
        answer = analysis(design.draw(rng))
    except (AllianceStatsError, ArithmeticError, np.linalg.LinAlgError) as refusal:
        return [{"term": None, "failed": f"{type(refusal).__name__}: {refusal}"}]
    missing = [name for name in _NEEDED if name not in answer]
    if missing:
        raise DataError(
            f"The analysis gives no column '{missing[0]}'; it must return a frame with "
            f"{', '.join(_NEEDED)}."
        )
    known = (*_NEEDED, "parameter", "conf_low", "conf_high", "singular")
    answers: list[dict[str, Any]] = answer[[n for n in known if n in answer]].to_dict("records")
    return answers


def _named(analysis: Analysis) -> str:
    """Return what the analysis is called, the same in every run."""
    if hasattr(analysis, "__qualname__"):
        return f"{analysis.__module__}.{analysis.__qualname__}"
    return repr(analysis)


def _file(plan: Plan, changes: Mapping[str, object], numbers: range) -> Path:
    assert plan.store is not None  # asked for only where there is a folder
    cell = hashlib.sha256(_written(changes).encode()).hexdigest()[:12]
    return plan.store / f"studies-{cell}-{numbers.start:06d}-{numbers.stop:06d}.parquet"


def _kept(plan: Plan, changes: Mapping[str, object], numbers: range) -> pd.DataFrame | None:
    if plan.store is None or not (path := _file(plan, changes, numbers)).exists():
        return None
    return pd.read_parquet(path)


def _keep(plan: Plan, changes: Mapping[str, object], numbers: range, frame: pd.DataFrame) -> None:
    if plan.store is None:
        return
    whole = BytesIO()
    try:
        frame.to_parquet(whole, index=False)
    except ImportError as error:
        raise DataError(
            "Studies are kept as Parquet, which needs pyarrow: pip install 'alliance-stats[files]'."
        ) from error
    write_whole(_file(plan, changes, numbers), whole.getvalue())
