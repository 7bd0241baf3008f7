"""How well a risk score orders endings: Harrell's C for intervals, strata and clusters."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.arguments import require_kind
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers, one_line, wald_interval
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.cox.cox_model import CoxModel
from alliance_stats.survival.cox.risk_sets import refuse_weights
from alliance_stats.survival.rows.time_at_risk import Spells

__all__ = ["Concordance", "concordance"]

# Two rows with the same covariates may differ by the order in which their products were summed.
_SAME_SCORE = 1e-12


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Concordance:
    """Concordance of predicted hazard with the order of events.

    Attributes
    ----------
    estimate
        ``(concordant + tied / 2) / comparable`` pairs: the probability that of two at risk together
        the one that ended first had the higher predicted hazard.
    std_error
        From the summed influence of each row or cluster (infinitesimal jackknife).
    concordant, discordant, tied
        Pairs; `tied` pairs have equal predicted hazards.
    rows
        What happened to the rows.
    """

    estimate: float
    std_error: float
    concordant: int
    discordant: int
    tied: int
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, std_error, conf_low, conf_high`` (normal theory)."""
        low, high = wald_interval(self.estimate, self.std_error, conf_level=conf_level)
        return pd.DataFrame(
            [["concordance", self.estimate, self.std_error, float(low), float(high)]],
            columns=["term", "estimate", "std_error", "conf_low", "conf_high"],
        )

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_concordant, n_discordant, n_tied`` in one row."""
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_concordant": [self.concordant],
                "n_discordant": [self.discordant],
                "n_tied": [self.tied],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        return "concordance"

    @property
    def notes(self) -> tuple[str, ...]:
        """No notes."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the concordance as data."""
        section = Section(
            "Concordance",
            self.tidy(conf_level=conf_level),
            names=(),
            measure="C",
            kind="bounded",
            conf_level=conf_level,
        )
        return Account.of(
            self, {"rows": self.rows.n_used}, (section,), sources=("harrell1982", "therneau2000")
        )

    summary = summary_of
    _repr_html_ = html_of


def concordance(model: CoxModel) -> Concordance:
    """Return the concordance of a Cox model's predicted hazard with the order of events.

    A pair is comparable where one has the event while the other is at risk in the same stratum and
    stays (Harrell 1982; for intervals and its standard error: Therneau & Atkinson, vignette
    "Concordance" of R's survival). With clusters in the model, its standard error is over them.

    Examples
    --------
    >>> from alliance_stats import cox_ph, endings, example_study
    >>> from alliance_stats.survival import concordance
    >>> families = endings(example_study()).units
    >>> model = cox_ph("parent_trauma + investment", families, time="time", event="event")
    >>> concordance(model).tidy()[["estimate"]].round(3)
       estimate
    0     0.606
    """
    require_kind(model, CoxModel, asked="concordance takes a model of cox_ph")
    refuse_weights(model.sets, "Concordance")
    intervals = model.intervals
    score = model.fit.beta @ model.design.X
    if intervals.offset is not None:
        score = score + intervals.offset
    if model.frailty is not None:
        score = score + model.frailty.b[intervals.cluster]
    n = len(score)
    better, tied, pairs = np.zeros((3, n))
    for number in range(len(intervals.strata)):
        pick = np.flatnonzero(intervals.stratum == number)
        better[pick], tied[pick], pairs[pick] = _pairs(intervals.spells(number), score[pick])
    total = pairs.sum() / 2.0
    if total == 0:
        raise NotIdentifiedError(
            "No two rows can be compared: nobody else was at risk at the time of any event."
        )
    estimate = float((better + tied / 2.0).sum() / 2.0 / total)
    influence = (better + tied / 2.0 - estimate * pairs) / total
    if intervals.cluster is not None and model.frailty is None:
        influence = np.bincount(intervals.cluster, weights=influence)
    concordant, ties = better.sum() / 2.0, tied.sum() / 2.0
    return Concordance(
        estimate=estimate,
        std_error=float(np.sqrt(influence @ influence)),
        concordant=round(concordant),
        discordant=round(total - concordant - ties),
        tied=round(ties),
        rows=model.rows,
    )


def _pairs(spells: Spells, score: Array) -> tuple[Array, Array, Array]:
    """Return each row's concordant, tied and comparable pairs (n,), in either place of the pair.

    A row censored at t outlives an event at t. At risk at t are those with a later end, less
    those who enter at t or later.
    """
    event = spells.event > 0
    times = np.unique(np.concatenate((spells.exit, spells.entry)))
    end = 2 * np.searchsorted(times, spells.exit) + np.where(event, 0, 1)
    start = 2 * np.searchsorted(times, spells.entry)
    risk = _ranks(score)
    better, tied, pairs = np.zeros((3, len(score)))
    # each event with all who outlive it
    lower, equal, all_ = _below(-start, risk, -end[event], risk[event], inclusive=True)
    after = _below(-end, risk, -end[event], risk[event], inclusive=False)
    better[event] = after[0] - lower
    tied[event] = after[1] - equal
    pairs[event] = after[2] - all_
    # each row with all events that it outlives: those before its end, less those before its start
    before = _below(end[event], -risk[event], end, -risk, inclusive=False)
    early = _below(end[event], -risk[event], start, -risk, inclusive=True)
    better += before[0] - early[0]
    tied += before[1] - early[1]
    pairs += before[2] - early[2]
    return better, tied, pairs


def _ranks(score: Array) -> Integers:
    """Return each score's rank among the distinct ones; differences from rounding are ignored."""
    distinct, position = np.unique(score, return_inverse=True)
    apart = np.diff(distinct) > _SAME_SCORE * np.abs(distinct).max(initial=0.0)
    return np.concatenate(([0], np.cumsum(apart)))[position]


def _below(
    key: Integers, value: Integers, at_key: Integers, at_value: Integers, *, inclusive: bool
) -> tuple[Array, Array, Array]:
    """Count points with a smaller key, by whether their value is smaller, equal, or any.

    A merge-sort tree: points sorted by key are sorted by value within blocks of each power of two,
    and a query's run of smaller keys is one block for each binary digit of its length.

    Parameters
    ----------
    key, value
        (n,) the points.
    at_key, at_value
        (q,) the queries.
    inclusive
        Whether an equal key counts as smaller.
    """
    order = np.argsort(key, kind="stable")
    length = np.searchsorted(key[order], at_key, side="right" if inclusive else "left")
    values = value[order] - min(value.min(initial=0), at_value.min(initial=0))
    wanted = at_value - min(value.min(initial=0), at_value.min(initial=0))
    top = int(max(values.max(initial=0), wanted.max(initial=0))) + 2
    smaller, not_larger = np.zeros((2, len(at_key)))
    for level in range(int(length.max(initial=0)).bit_length()):
        size = 1 << level
        query = np.flatnonzero(length & size)
        block = (length[query] >> (level + 1)) << 1
        n_blocks = len(values) // size
        blocks = np.sort(values[: n_blocks * size].reshape(n_blocks, size), axis=1)
        flat = (blocks + top * np.arange(n_blocks)[:, None]).ravel()
        target = wanted[query] + top * block
        smaller[query] += np.searchsorted(flat, target, side="left") - block * size
        not_larger[query] += np.searchsorted(flat, target, side="right") - block * size
    return smaller, not_larger - smaller, length.astype(np.float64)
