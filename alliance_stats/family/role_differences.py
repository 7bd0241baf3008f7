"""Differences between named roles of a family: whose members they are, and what is refused."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.estimates import Array

__all__ = ["RoleDifference", "require_roles", "role_difference"]


@dataclass(frozen=True, slots=True)
class RoleDifference:
    """First less second role, signed and absolute.

    Attributes
    ----------
    first, second
        A role, or several roles whose members' mean is meant: ``("mother", "father")``.
    several
        What is done where two members have one named role: ``"refuse"`` or take their ``"mean"``.
    """

    first: str | tuple[str, ...]
    second: str | tuple[str, ...]
    several: Literal["refuse", "mean"] = "refuse"

    def __post_init__(self) -> None:
        check_choice(self.several, ("refuse", "mean"), name="several")
        both = set(self.sides[0]) & set(self.sides[1])
        if both:
            raise DataError(f"Role '{min(both)}' stands on both sides of a difference.")

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Roles of each side."""
        return _roles(self.first), _roles(self.second)

    @property
    def name(self) -> str:
        """Column of the signed difference: ``difference_mother_child``."""
        return "difference_" + "_".join("_and_".join(side) for side in self.sides)

    @property
    def rule(self) -> str:
        """The rule in words."""
        return " less ".join(
            side[0] if len(side) == 1 else f"mean of {' and '.join(side)} present"
            for side in self.sides
        )


def require_roles(difference: RoleDifference, frame: pd.DataFrame) -> None:
    """Refuse a role that no member has."""
    found = sorted({str(role) for role in frame["role"]})
    for side in difference.sides:
        for role in side:
            if role not in found:
                raise DataError(f"No member has the role '{role}'. {did_you_mean(role, found)}")


def role_difference(
    difference: RoleDifference, rated: pd.DataFrame, codes: npt.NDArray[np.int64], n_cells: int
) -> dict[str, Array]:
    """Return signed and absolute difference of two sides, and the signed one's error."""
    means, variances = [], []
    for side in difference.sides:
        own = rated["role"].isin(side).to_numpy()
        _refuse_several(difference, rated.loc[own], codes[own])
        n = np.bincount(codes[own], minlength=n_cells).astype(float)
        total = np.bincount(codes[own], rated["score"].to_numpy()[own], minlength=n_cells)
        squares = np.bincount(codes[own], rated["error"].to_numpy()[own] ** 2, minlength=n_cells)
        n[n == 0] = np.nan
        means.append(total / n)
        variances.append(squares / n**2)
    signed = means[0] - means[1]
    error = np.sqrt(variances[0] + variances[1])
    name = difference.name
    found = {name: signed, f"abs_{name}": np.abs(signed)}
    return {**found, f"{name}_se": error} if np.isfinite(rated["error"]).all() else found


def _refuse_several(
    difference: RoleDifference, own: pd.DataFrame, codes: npt.NDArray[np.int64]
) -> None:
    if difference.several == "mean":
        return
    twice = pd.DataFrame({"cell": codes, "role": own["role"].to_numpy()}).duplicated(keep=False)
    if twice.any():
        first = own.loc[twice.to_numpy()].iloc[0]
        raise DataError(
            f"Family '{first['family']}' has several members in the role '{first['role']}' at "
            f"session {first['session']}: {difference.rule} is not defined. Ask for their mean "
            "with RoleDifference(..., several='mean'), or leave some of them out."
        )


def _roles(side: str | tuple[str, ...]) -> tuple[str, ...]:
    return (side,) if isinstance(side, str) else tuple(side)
