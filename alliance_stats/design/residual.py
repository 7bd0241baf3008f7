"""Structures of residual SDs and correlations, as given in ``residual=``.

Unequal SDs (by strata, or following a covariate) and one correlation structure within units can be
combined in a list: ``[Toeplitz("session", within="person"), VarianceBy("session")]`` is the
heterogeneous Toeplitz form. The engine's side is :mod:`alliance_stats.engine.residual_shape`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import get_args

from alliance_stats.errors import DataError

__all__ = [
    "AR1",
    "CAR1",
    "CompoundSymmetry",
    "ResidualStructure",
    "Toeplitz",
    "Unstructured",
    "VarianceBy",
    "VarianceExponential",
    "VariancePower",
    "as_structures",
    "columns_of",
]


@dataclass(frozen=True, slots=True)
class VarianceBy:
    """A residual SD for every value of a column (nlme's ``varIdent``).

    Attributes
    ----------
    by
        The column, ``"role"``, or several, ``("role", "phase")``: one SD for every combination that
        occurs.
    """

    by: str | tuple[str, ...]

    def __post_init__(self) -> None:
        """Keep several columns as a tuple."""
        if isinstance(self.by, list | tuple):
            object.__setattr__(self, "by", tuple(self.by))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the strata."""
        return self.by if isinstance(self.by, tuple) else (self.by,)


@dataclass(frozen=True, slots=True)
class VariancePower:
    """A residual SD that is ``|x|^delta`` times a constant (nlme's ``varPower``).

    Attributes
    ----------
    of
        The column x: numbers other than 0. ``sigma`` is the residual SD at the geometric mean of
        ``|x|``.
    """

    of: str


@dataclass(frozen=True, slots=True)
class VarianceExponential:
    """A residual SD that is ``exp(delta x)`` times a constant (nlme's ``varExp``).

    Attributes
    ----------
    of
        The column x. ``sigma`` is the residual SD at the mean of x.
    """

    of: str


@dataclass(frozen=True, slots=True)
class AR1:
    """Correlation ``phi^k`` between residuals k sessions apart, -1 < phi < 1 (nlme's ``corAR1``).

    Attributes
    ----------
    time
        Column of whole numbers; gaps count (sessions 1 and 3 are 2 apart).
    within
        Column of the unit within which residuals are correlated.
    """

    time: str
    within: str


@dataclass(frozen=True, slots=True)
class CAR1:
    """Correlation ``phi^|t - t'|`` in continuous time, 0 < phi < 1 (nlme's ``corCAR1``).

    Attributes
    ----------
    time
        Column of times.
    within
        Column of the unit within which residuals are correlated.
    """

    time: str
    within: str


@dataclass(frozen=True, slots=True)
class CompoundSymmetry:
    """One correlation for all residuals of a unit, possibly negative (nlme's ``corCompSymm``).

    Attributes
    ----------
    within
        Column of the unit within which residuals are correlated.
    """

    within: str


@dataclass(frozen=True, slots=True)
class Toeplitz:
    """A correlation for each distance between sessions (SAS's ``type=toep``).

    Attributes
    ----------
    time
        Column of whole numbers; gaps count.
    within
        Column of the unit within which residuals are correlated.
    """

    time: str
    within: str


@dataclass(frozen=True, slots=True)
class Unstructured:
    """An SD for each visit and a correlation for each pair of visits (MMRM).

    nlme's ``corSymm`` with ``varIdent`` (Mallinckrodt et al. 2008,
    doi:10.1177/009286150804200402).

    Attributes
    ----------
    time
        Column of the visits; any values.
    within
        Column of the unit within which residuals are correlated.
    """

    time: str
    within: str


Variance = VarianceBy | VariancePower | VarianceExponential
Correlated = AR1 | CAR1 | CompoundSymmetry | Toeplitz | Unstructured
ResidualStructure = Variance | Correlated


_ARGUMENTS = {"by": "'role'", "of": "'x'", "time": "'session'", "within": "within='person'"}


def _example(kind: type[ResidualStructure]) -> str:
    return f"{kind.__name__}({', '.join(_ARGUMENTS[field.name] for field in fields(kind))})"


def as_structures(
    structures: ResidualStructure | Sequence[ResidualStructure] | None,
) -> list[ResidualStructure]:
    """Return the structures as a list.

    Raises
    ------
    DataError
        Anything but a structure, or several of one kind.
    """
    if structures is None:
        return []
    several = isinstance(structures, Sequence) and not isinstance(structures, str)
    asked: list[ResidualStructure] = list(structures) if several else [structures]  # type: ignore[arg-type,list-item]
    for structure in asked:
        if not isinstance(structure, ResidualStructure):
            shown = [_example(kind) for kind in get_args(ResidualStructure)]
            raise DataError(
                f"residual= takes {', '.join(shown[:-1])} or {shown[-1]}, or a list of them; got "
                f"{structure!r}."
            )
    correlated = [kind.__name__ for kind in get_args(Correlated)]
    kinds = [
        "VarianceBy"
        if isinstance(s, VarianceBy)
        else "VariancePower and VarianceExponential"
        if isinstance(s, Variance)
        else f"{', '.join(correlated[:-1])} and {correlated[-1]}"
        for s in asked
    ]
    for kind in kinds:
        if kinds.count(kind) > 1:
            one = "" if kind == "VarianceBy" else "of "
            raise DataError(f"residual= takes at most one {one}{kind}; got {asked}.")
    unstructured = [s for s in asked if isinstance(s, Unstructured)]
    if unstructured and any(
        isinstance(s, VarianceBy) and s.by == unstructured[0].time for s in asked
    ):
        raise DataError(
            f"{unstructured[0]} has an SD for each '{unstructured[0].time}' already; leave "
            "VarianceBy out."
        )
    return asked


def columns_of(structures: ResidualStructure | Sequence[ResidualStructure] | None) -> list[str]:
    """Return the columns that the structures name, which all their attributes do."""
    # astuple would copy them, and a column that is called by an object is no other's
    named = [getattr(s, part.name) for s in as_structures(structures) for part in fields(s)]
    return [c for value in named for c in (value if isinstance(value, tuple) else (value,))]
