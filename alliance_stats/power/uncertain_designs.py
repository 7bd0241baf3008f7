"""A design whose assumptions are themselves uncertain: each study draws a set of its own."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.power.assumptions import Design, varied

__all__ = ["UncertainDesign", "changed", "settled"]

_FEWEST = 2  # sets


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UncertainDesign:
    """A design, and sets of assumptions that are equally credible.

    The power of such a design is the expected one (O'Hagan, Stevens & Campbell 2005, "assurance",
    doi:10.1002/pst.175): the share of studies that find what is there, while what is there is known
    as far as a pilot or the literature knows it.

    Attributes
    ----------
    design
        The design at the best guess.
    sets
        A row per set, a column per assumption by its name, as ``"alliance.sd_therapist"``.

    Raises
    ------
    DataError
        If there are fewer than two sets, a value is missing, or a set makes a design that cannot
        be.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats.power import ClusterTrial, UncertainDesign
    >>> trial = ClusterTrial(clusters=10, members=6)
    >>> open_icc = UncertainDesign(trial, pd.DataFrame({"icc": [0.01, 0.05, 0.15]}))
    >>> open_icc.assumptions()[["assumption", "conf_low", "conf_high"]].iloc[2].tolist()
    ['icc', 0.012, 0.14500000000000002]
    """

    design: Design
    sets: pd.DataFrame

    def __post_init__(self) -> None:
        if len(self.sets) < _FEWEST or self.sets.shape[1] == 0:
            raise DataError(
                f"sets= needs at least {_FEWEST} rows and one assumption; got {self.sets.shape}."
            )
        missing = [str(name) for name in self.sets if self.sets[name].isna().any()]
        if missing:
            raise DataError(f"sets= has missing values in '{missing[0]}'.")
        for place in range(len(self.sets)):
            self._at(place)

    def __repr__(self) -> str:
        """Return the design and a mark of its sets, the same in every run."""
        mark = hashlib.sha256(self.sets.to_csv(index=False).encode()).hexdigest()[:12]
        return f"UncertainDesign({self.design!r}, {len(self.sets)} sets {mark})"

    @property
    def truth(self) -> Mapping[str, float]:
        """Name of a parameter -> its value at the best guess."""
        return self.design.truth

    def settle(self, rng: np.random.Generator) -> Design:
        """Return the design at one of the sets, drawn with equal probability."""
        return self._at(int(rng.integers(len(self.sets))))

    def draw(self, rng: np.random.Generator) -> Any:
        """Draw one study, of a set of its own."""
        return self.settle(rng).draw(rng)

    @property
    def closed_form_name(self) -> str:
        """Name of the closed form."""
        return f"{getattr(self.design, 'closed_form_name', '')}, mean over the sets"

    def closed_form(self, alpha: float) -> Mapping[str, float]:
        """Return the mean over the sets of the power by formula."""
        return self.mean_over_sets(lambda design: design.closed_form(alpha))

    def mean_over_sets(self, power: Callable[[Design], Mapping[str, float]]) -> Mapping[str, float]:
        """Return the mean over the sets of what a function says of the design at each."""
        found = pd.DataFrame([power(self._at(place)) for place in range(len(self.sets))])
        return {str(term): float(value) for term, value in found.mean().items()}

    def assumptions(self) -> pd.DataFrame:
        """Return ``assumption, value, source, conf_low, conf_high``.

        The limits hold 95% of the sets; missing, where an assumption is taken for known.
        """
        table = self.design.assumptions()
        limits = {
            str(name): np.quantile(self.sets[name].to_numpy(dtype=np.float64), [0.025, 0.975])
            for name in self.sets
        }
        own = [limits.get(str(name), (np.nan, np.nan)) for name in table["assumption"]]
        return table.assign(conf_low=[low for low, _ in own], conf_high=[high for _, high in own])

    def _at(self, place: int) -> Design:
        values: Sequence[object] = self.sets.iloc[place].tolist()
        return varied(self.design, dict(zip(map(str, self.sets), values, strict=True)))


def settled(design: Design, rng: np.random.Generator) -> Design:
    """Return the design that one study is of."""
    return design.settle(rng) if isinstance(design, UncertainDesign) else design


def changed(design: Design, changes: Mapping[str, object]) -> Design:
    """Return the design with other values of some assumptions; what is changed is known."""
    if not isinstance(design, UncertainDesign):
        return varied(design, changes)
    left = design.sets.drop(columns=[name for name in changes if name in design.sets])
    inner = varied(design.design, changes)
    return UncertainDesign(inner, left) if left.shape[1] else inner
