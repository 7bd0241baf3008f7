"""Ranks of units with their uncertainty, not a league table."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.generalized_mixed_model import GeneralizedLinearMixedModel
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["UnitRanks", "unit_ranks"]


_MIXED = (LinearMixedModel, GeneralizedLinearMixedModel)


class Ranked(Protocol):
    """A mixed model, or a result containing one, such as a discrete hazard model."""

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows."""
        ...

    def tidy(self, *, effects: Any) -> pd.DataFrame:
        """Return one row per effect of a unit, for ``effects="ran_vals"``."""
        ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UnitRanks:
    """Ranks of units with their uncertainty, made by :func:`unit_ranks`.

    Attributes
    ----------
    group, term
        The grouping factor and the random effect that is ranked.
    units
        ``level, estimate, std_error``: predicted effects and their conditional SDs.
    ranks
        (draws, units): rank 1 is the smallest effect.
    share
        The share of units that count as highest and as lowest.
    rows
        The ledger of the fit's rows.
    """

    group: str
    term: str
    units: pd.DataFrame
    ranks: Array
    share: float
    rows: RowLedger

    __repr__ = one_line

    @property
    def n_extreme(self) -> int:
        """Number of units that count as lowest, and as highest: `share` of all, rounded down."""
        return max(int(np.floor(self.share * self.ranks.shape[1] + 1e-9)), 1)

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per unit, smallest predicted effect first.

        Returns
        -------
        DataFrame
            ``level, estimate`` (the predicted effect) ``, std_error, rank`` (mean over the draws)
            ``, conf_low, conf_high`` (of the rank) ``, lowest, highest`` (probability of being
            among the lowest and the highest `share` of units).
        """
        alpha = 1.0 - check_conf_level(conf_level)
        n, few = self.ranks.shape[1], self.n_extreme
        low, high = np.quantile(
            self.ranks, [alpha / 2.0, 1.0 - alpha / 2.0], axis=0, method="inverted_cdf"
        )
        table = self.units.assign(
            rank=self.ranks.mean(axis=0),
            conf_low=low,
            conf_high=high,
            lowest=(self.ranks <= few).mean(axis=0),
            highest=(self.ranks > n - few).mean(axis=0),
        )
        return table.sort_values("estimate", kind="stable").reset_index(drop=True)

    def glance(self) -> pd.DataFrame:
        """Return one row: units, and how many are extreme with probability .95."""
        table = self.tidy()
        row = {"n_units": len(table), "n_resamples": len(self.ranks), "share": self.share}
        row |= {f"n_{end}": int((table[end] >= 0.95).sum()) for end in ("lowest", "highest")}
        return pd.DataFrame([row])

    @property
    def method(self) -> str:
        """What is ranked."""
        of = "intercept" if self.term == "(Intercept)" else f"effect of {self.term}"
        return f"ranks of units of {self.group} by their predicted {of}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading."""
        return (
            "Ranks are of few units and rest on the model: a unit with few rows is drawn to the "
            "middle, and intervals of ranks that overlap tell no order.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the ranks as data."""
        columns = {
            "rank": Column("rank", "number", "conf_low", "conf_high"),
            "lowest": Column("P(lowest)", "share"),
            "highest": Column("P(highest)", "share"),
        }
        shown = self.tidy(conf_level=conf_level).drop(columns=["estimate", "std_error"])
        section = Section("Unit", shown, ("level",), columns=columns, conf_level=conf_level)
        sizes = {"rows": self.rows.n_used, "units": len(self.units)}
        return Account.of(self, sizes, (section,), drawn=True, sources=("goldstein1996",))

    summary = summary_of
    _repr_html_ = html_of


@renamed(group="unit")
def unit_ranks(
    model: Ranked,
    unit: str,
    *,
    term: str = "(Intercept)",
    share: float = 1.0 / 3.0,
    n_resamples: int = 10_000,
    seed: Seed = None,
) -> UnitRanks:
    """Estimate the uncertainty of the ranks of units: which are among the highest or lowest.

    Parameters
    ----------
    model
        A fitted ``lmm`` or ``glmm``, or a ``discrete_hazard`` with random effects.
    unit
        Grouping factor, ``"therapist"``.
    term
        The random effect that is ranked.
    share
        Share of units that count as highest and as lowest; a third by default.
    n_resamples, seed
        Number of draws and their seed.

    Returns
    -------
    UnitRanks
        ``tidy()`` gives each unit's mean rank with its interval and the probabilities of being
        among the lowest and the highest.

    Raises
    ------
    DataError
        A group or a term that the model does not have, or an invalid share.
    NotIdentifiedError
        Units that do not differ in the model (a variance of zero).

    Notes
    -----
    Each unit's effect is drawn from its conditional distribution, normal with the predicted effect
    and its conditional SD, the model's parameters taken as known (Goldstein & Spiegelhalter 1996,
    doi:10.2307/2983325).

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, unit_ranks
    >>> model = lmm("symptoms ~ session + (1 | therapist/person)", example_study().sessions)
    >>> ranks = unit_ranks(model, "therapist", seed=1).tidy()
    >>> bool(ranks["highest"].between(0, 1).all())
    True
    """
    if not 0.0 < share <= 0.5:
        raise DataError(f"share is above 0 and at most 0.5; got {share}.")
    held = model if isinstance(model, _MIXED) else getattr(model, "fit", None)
    if not isinstance(held, _MIXED):
        require_kind(model, _MIXED, asked="unit_ranks takes a model of lmm, glmm or a hazard")
    table = model.tidy(effects="ran_vals")
    known = list(dict.fromkeys(table["group"]))
    if not known:
        raise DataError("The model has no random effects: there are no units to rank.")
    if unit not in known:
        raise DataError(f"'{unit}' is no grouping factor. {did_you_mean(unit, known)}")
    own = table[table["group"] == unit]
    if term not in set(own["term"]):
        terms = list(dict.fromkeys(own["term"]))
        raise DataError(f"'{term}' is no effect of '{unit}'. {did_you_mean(term, terms)}")
    units = own.loc[own["term"] == term, ["level", "estimate", "std_error"]].reset_index(drop=True)
    centre, sd = units["estimate"].to_numpy(float), units["std_error"].to_numpy(float)
    if not np.ptp(centre) > 0.0:
        raise NotIdentifiedError(
            f"Units of '{unit}' do not differ in {term} by this model: there is nothing to rank."
        )
    rng = generator_of(seed)
    drawn = centre + sd * rng.standard_normal((n_resamples, len(units)))
    ranks = drawn.argsort(axis=1).argsort(axis=1) + 1.0
    return UnitRanks(unit, term, units, ranks, share, model.rows)
