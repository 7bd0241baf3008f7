"""What is drawn and analysed, and the Parquet data set to which answers are appended."""

import functools
import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass, replace
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from types import CodeType
from typing import Any

import pandas as pd

from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.output import write_whole
from alliance_stats.power.assumptions import Design
from alliance_stats.power.uncertain_designs import UncertainDesign, changed

__all__ = ["Analysis", "Plan", "keep_part", "kept_part", "written"]

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


def written(changes: Mapping[str, object]) -> str:
    """Return a cell's assumptions as text, the same in every run."""
    return json.dumps({name: repr(value) for name, value in sorted(changes.items())})


def kept_part(plan: Plan, changes: Mapping[str, object], numbers: range) -> pd.DataFrame | None:
    """Return the stored answers of a cell's studies, or None."""
    if plan.store is None or not (path := _file(plan, changes, numbers)).exists():
        return None
    return pd.read_parquet(path).drop(columns="assumptions")


def keep_part(
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
        frame.assign(assumptions=written(changes)).to_parquet(whole, index=False)
    except ImportError as error:
        raise DataError(
            "Studies are kept as Parquet, which needs pyarrow: pip install 'alliance-stats[files]'."
        ) from error
    write_whole(_file(plan, changes, numbers), whole.getvalue())


def _file(plan: Plan, changes: Mapping[str, object], numbers: range) -> Path:
    assert plan.store is not None  # asked for only where there is a folder
    cell = hashlib.sha256(written(changes).encode()).hexdigest()[:12]
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
