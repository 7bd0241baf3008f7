"""What a figure of trajectories says in words: caption, text alternative and note."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.figures.text import in_sentence
from alliance_stats.formatting import (
    decimals_for,
    format_interval,
    format_level,
    format_number,
    plural,
)

__all__ = ["FEWEST_FOR_BAND", "Panel", "Words"]

# A t interval with one df is wider than any scale: the data have it, the picture does not.
FEWEST_FOR_BAND = 3


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One role's ratings (``session, score, person, cluster``) and the means of its sessions."""

    name: str
    ratings: pd.DataFrame
    means: pd.DataFrame

    @property
    def n_persons(self) -> int:
        """How many persons have a rating."""
        return int(self.ratings["person"].nunique())


@dataclass(frozen=True, slots=True)
class Words:
    """How score and clock are called, and the coverage of the bands."""

    score_label: str
    session_label: str
    conf_level: float

    @property
    def clock(self) -> str:
        """What is counted, as it stands inside of a sentence."""
        return in_sentence(self.session_label)

    def caption(self, panels: Sequence[Panel]) -> str:
        """Say what is drawn, with each panel's first and last mean."""
        each = "; ".join(
            f"{panel.name + ': ' if panel.name else ''}{self._ends(panel.means)}"
            for panel in panels
        )
        return (
            f"{self.score_label} by {self.clock}. Thin lines are persons "
            f"(n = {sum(panel.n_persons for panel in panels)}), thick lines means of those who "
            f"were rated at that {self.clock}, bands their {format_level(self.conf_level)} "
            f"confidence intervals. Mean {each}."
        )

    def alt(self, panels: Sequence[Panel]) -> str:
        """Say what is seen, with each panel's first and last mean."""
        each = "; ".join(
            f"{panel.name + ', ' if panel.name else ''}{plural(panel.n_persons, 'person')}: mean "
            f"{self._ends(panel.means)}"
            for panel in panels
        )
        shape = plural(len(panels), "panel") if len(panels) > 1 else "One panel"
        return f"{shape} of {self.score_label} against {self.clock}. {each}."

    def note(self, *, cluster: Hashable | None, n_left_out: int) -> str:
        """Say how the interval was made, who was left out, and whose mean it is."""
        robust = f"cluster-robust (CR1) over '{cluster}', t with one df less than clusters"
        if cluster is None:
            robust = "t interval over persons, which takes persons as independent"
        missing = f" {plural(n_left_out, 'row')} without a score not drawn." if n_left_out else ""
        return (
            f"{format_level(self.conf_level)} CI of the mean: {robust}; bands where there are "
            f"{FEWEST_FOR_BAND} or more. A mean is over those still in "
            "treatment and rated, so that who left no longer counts in it: a rising mean can be "
            f"persons leaving as much as persons changing.{missing}"
        )

    def _ends(self, means: pd.DataFrame) -> str:
        """Return the first mean and the last one, with its interval where it has one."""
        first, last = means.iloc[0], means.iloc[-1]
        last_drawn = last["n_clusters"] >= FEWEST_FOR_BAND
        digits = max(_decimals(first), _decimals(last))
        words = f"{format_number(first['estimate'], digits)} at {self.clock} {first['session']:g}"
        if len(means) > 1:
            limits = (
                format_interval(last["conf_low"], last["conf_high"], digits)
                if last_drawn and not np.isnan(last["conf_low"])
                else "(no interval)"
            )
            words += (
                f" and {format_number(last['estimate'], digits)} {limits} at {self.clock} "
                f"{last['session']:g} (n = {int(last['n_ratings'])})"
            )
        return words


def _decimals(row: pd.Series) -> int:
    return decimals_for(row["estimate"], row["conf_low"], row["conf_high"])
