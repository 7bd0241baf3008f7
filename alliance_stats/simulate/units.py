"""Who takes part in a simulated study: therapists, their families and the families' members."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.simulate.truth import (
    COMPOSITIONS,
    EXPERIENCE_YEARS,
    FRAMEWORK_SHARE,
    TRAUMA_SHARE,
)

__all__ = ["Bools", "Ints", "Units", "draw_units"]

_FEWEST_FAMILIES_EACH = 2

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Who takes part: three frames, each naming its parent by position.

    Attributes
    ----------
    therapists
        ``therapist, experience, framework``.
    families
        ``family, investment, parent_trauma, therapist_emotion``.
    persons
        ``person, role``.
    therapist_of, family_of
        Position of each family's therapist, shape (families,); of each person's family, shape
        (persons,), not decreasing.
    """

    therapists: pd.DataFrame
    families: pd.DataFrame
    persons: pd.DataFrame
    therapist_of: Ints
    family_of: Ints


def draw_units(n_therapists: int, n_families: int, rng: np.random.Generator) -> Units:
    """Draw therapists, their families and the families' members."""
    fewest = _FEWEST_FAMILIES_EACH * n_therapists
    if n_therapists < 2 or n_families < fewest:
        raise DataError(
            "A study needs at least 2 therapists and 2 families for each of them; "
            f"got {n_therapists} therapists and {n_families} families."
        )
    extra = rng.integers(n_therapists, size=n_families - fewest)
    every = np.repeat(np.arange(n_therapists), _FEWEST_FAMILIES_EACH)
    therapist_of = np.sort(np.concatenate([every, extra]))
    informed = np.zeros(n_therapists, dtype=bool)
    informed[: round(FRAMEWORK_SHARE * n_therapists)] = True
    low, high = EXPERIENCE_YEARS
    therapists = pd.DataFrame(
        {
            "therapist": _ids("T", n_therapists),
            "experience": rng.integers(low, high + 1, size=n_therapists),
            "framework": np.where(rng.permutation(informed), "trauma-informed", "usual"),
        }
    )
    families = pd.DataFrame(
        {
            "family": _ids("F", n_families),
            "investment": rng.standard_normal(n_families).round(2),
            "parent_trauma": (rng.random(n_families) < TRAUMA_SHARE).astype(np.int64),
            "therapist_emotion": rng.standard_normal(n_families).round(2),
        }
    )
    persons, family_of = _draw_persons(families["family"].to_list(), rng)
    return Units(therapists, families, persons, therapist_of, family_of)


def _draw_persons(families: list[str], rng: np.random.Generator) -> tuple[pd.DataFrame, Ints]:
    shares = np.array(list(COMPOSITIONS.values()))
    drawn = rng.choice(len(COMPOSITIONS), size=len(families), p=shares / shares.sum())
    compositions = list(COMPOSITIONS)
    members = [
        (position, f"{family}-{role}", role)
        for position, (family, which) in enumerate(zip(families, drawn, strict=True))
        for role in compositions[which]
    ]
    frame = pd.DataFrame(members, columns=["position", "person", "role"])
    return frame[["person", "role"]], frame["position"].to_numpy(dtype=np.int64)


def _ids(letter: str, count: int) -> list[str]:
    width = 2 if letter == "T" else 3
    width = max(width, len(str(count)))
    return [f"{letter}{number:0{width}d}" for number in range(1, count + 1)]
