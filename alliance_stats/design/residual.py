"""How residuals may differ: a variance a stratum, and correlation that fades with time.

What a user writes as ``residual=``; the engine's side is
:mod:`alliance_stats.engine.residual_shape`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alliance_stats.errors import DataError

__all__ = ["AR1", "CAR1", "ResidualStructure", "VarianceBy", "as_structures", "columns_of"]


@dataclass(frozen=True, slots=True)
class VarianceBy:
    """A residual SD for every value of a column (nlme's ``varIdent``).

    Attributes
    ----------
    by
        The column, ``"role"``.
    """

    by: str


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


ResidualStructure = VarianceBy | AR1 | CAR1


def as_structures(
    structures: ResidualStructure | Sequence[ResidualStructure] | None,
) -> list[ResidualStructure]:
    """Return the structures as a list.

    Raises
    ------
    DataError
        What is not a structure, or several of one kind.
    """
    if structures is None:
        return []
    several = isinstance(structures, Sequence) and not isinstance(structures, str)
    asked: list[ResidualStructure] = list(structures) if several else [structures]  # type: ignore[arg-type,list-item]
    for structure in asked:
        if not isinstance(structure, VarianceBy | AR1 | CAR1):
            raise DataError(
                "residual= takes VarianceBy('role'), AR1('session', within='person') or "
                f"CAR1('time', within='person'), or a list of them; got {structure!r}."
            )
    n_variances = sum(isinstance(s, VarianceBy) for s in asked)
    if n_variances > 1 or len(asked) - n_variances > 1:
        raise DataError(
            f"residual= takes at most one VarianceBy and at most one of AR1 and CAR1; got {asked}."
        )
    return asked


def columns_of(
    structures: ResidualStructure | Sequence[ResidualStructure] | None,
) -> list[str]:
    """Return the columns that the structures name."""
    found: list[str] = []
    for structure in as_structures(structures):
        found += (
            [structure.by]
            if isinstance(structure, VarianceBy)
            else [structure.time, structure.within]
        )
    return found
