"""How close predictions came to outcomes: discrimination, error, calibration, with censoring.

Those censored before the horizon t are represented by those who were not: rows whose ending by
t is known count ``1 / G``, with G the probability of not being censored before it (Graf et al.
1999, doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5). Endings come
before censorings of the same time, so that of the n(s) at risk at s those who end then cannot be
censored then. A case has had the ending of interest by t; all others known are controls, including
those with another ending (Blanche, Dartigues & Jacqmin-Gadda 2013, doi:10.1002/sim.5958).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_conf_level
from alliance_stats.estimates import Array, Booleans, Integers, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.curves.life_table import probability_rows

__all__ = ["Predicted", "RiskAccuracy"]


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What was predicted for one horizon, and what happened; arrays of length n.

    Attributes
    ----------
    risk, null
        The predicted probability of the ending of interest by the horizon, and the probability
        predicted from the others' endings alone.
    time, state
        When each ended, and how: 0 censored, 1 the ending of interest, 2 another.
    horizon
        The time by which endings are predicted.
    group
        Rows with the same censoring distribution (landmarks); zeros if all share one.
    """

    risk: Array
    null: Array
    time: Array
    state: Integers
    horizon: float
    group: Integers

    def where(self, kept: Booleans) -> "Predicted":
        """Return some of the rows."""
        return Predicted(
            self.risk[kept], self.null[kept], self.time[kept], self.state[kept], self.horizon,
            self.group[kept],
        )  # fmt: skip

    @property
    def case(self) -> Booleans:
        """Rows with the ending of interest by the horizon."""
        return np.asarray((self.state == 1) & (self.time <= self.horizon))

    @property
    def weight(self) -> Array:
        """Weight of each row; 0 where its ending by the horizon is not known."""
        found = np.zeros(len(self.time))
        for group in np.unique(self.group):
            own = self.group == group
            found[own] = known_weights(self.time[own], self.state[own], self.horizon)
        return found


def known_weights(time: Array, state: Integers, horizon: float) -> Array:
    """Return 1 / G(T-) for endings by the horizon, 1 / G(horizon) for rows seen beyond it."""
    times, place = np.unique(time, return_inverse=True)
    n_ended = np.bincount(place, weights=state > 0, minlength=len(times))
    n_censored = np.bincount(place, weights=state == 0, minlength=len(times))
    leaving = n_ended + n_censored
    at_risk = np.cumsum(leaving[::-1])[::-1] - n_ended
    share = np.divide(n_censored, at_risk, out=np.zeros(len(times)), where=at_risk > 0)
    after = np.cumprod(1.0 - share)
    before = np.concatenate(([1.0], after[:-1]))
    beyond = np.concatenate(([1.0], after))[np.searchsorted(times, horizon, side="right")]
    chance = np.where(time > horizon, beyond, before[place])
    known = (time > horizon) | (state > 0)
    return np.divide(1.0, chance, out=np.zeros(len(time)), where=known & (chance > 0.0))


def _measures(predicted: Predicted) -> dict[str, float]:
    """Return the accuracy of the predictions for one horizon.

    ``auc``: the share of case-control pairs in which the case had the higher probability,
    ties half. ``brier``: the mean squared difference between probability and ending; ``brier_null``
    that of `null`; ``scaled_brier`` one minus their ratio. ``observed``, ``predicted`` and their
    ratio ``observed_to_predicted``: calibration in the large.
    """
    weight, case = predicted.weight, predicted.case
    n = len(weight)
    brier, null = (
        float(weight @ (case - chance) ** 2) / n for chance in (predicted.risk, predicted.null)
    )
    observed, mean = float(weight @ case) / n, float(predicted.risk.mean())
    return {
        "auc": _area(predicted.risk, weight, case),
        "brier": brier,
        "brier_null": null,
        "scaled_brier": 1.0 - brier / null if null > 0.0 else np.nan,
        "observed": observed,
        "predicted": mean,
        "observed_to_predicted": observed / mean if mean > 0.0 else np.nan,
    }


def _area(risk: Array, weight: Array, case: Booleans) -> float:
    """Return the weighted share of concordant pairs; NaN without cases or controls."""
    levels, place = np.unique(risk, return_inverse=True)
    cases = np.bincount(place, weights=weight * case, minlength=len(levels))
    controls = np.bincount(place, weights=weight * ~case, minlength=len(levels))
    pairs = cases.sum() * controls.sum()
    if pairs == 0.0:
        return float("nan")
    below = np.cumsum(controls) - controls
    return float(cases @ (below + controls / 2.0) / pairs)


def _jackknife_error(predicted: Predicted, cluster: Integers) -> dict[str, float]:
    """Return each measure's standard error by leaving out one cluster at a time.

    The probabilities stay fixed; the censoring weights are recomputed.
    """
    numbers = np.unique(cluster)
    found = [_measures(predicted.where(cluster != number)) for number in numbers]
    n = len(numbers)
    return {
        name: float(np.sqrt((n - 1.0) / n * ((own - own.mean()) ** 2).sum()))
        for name in found[0]
        for own in [np.array([each[name] for each in found])]
    }


_WORDS = {
    "auc": "AUC",
    "brier": "Brier score",
    "brier_null": "Brier score without covariates",
    "scaled_brier": "scaled Brier score",
    "observed": "share that left",
    "predicted": "mean predicted probability",
    "observed_to_predicted": "observed over predicted",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RiskAccuracy:
    """Accuracy of predicted probabilities.

    Attributes
    ----------
    parts
        Names of the times (or landmarks), and what was predicted for each.
    clusters
        For each part: which rows the standard errors treat as one cluster.
    how
        How the probabilities were obtained, in words.
    left_out
        The column whose values were left out in turn; None where the models were fitted to
        the same rows.
    competing
        Whether there were other endings.
    rows
        What happened to the rows.
    ahead
        Sessions that are looked ahead from landmarks; 0 where the times are the horizons.
    given
        Whether the probabilities were given, so that no model of these rows was fitted here.
    """

    parts: Mapping[float, Predicted]
    clusters: Mapping[float, Integers]
    how: str
    left_out: str | None
    competing: bool
    rows: RowLedger
    ahead: int = 0
    given: bool = False

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per time and measure.

        Returns
        -------
        DataFrame
            ``time, term, estimate, std_error, conf_low, conf_high``: `term` is ``auc`` (the share
            of pairs, one having left by then and one not, in which the former had the higher
            probability), ``brier`` (mean squared error; ``brier_null`` without covariates,
            ``scaled_brier`` one minus their ratio), ``observed`` and ``predicted`` shares and their
            ratio ``observed_to_predicted``. Jackknife standard errors over clusters, given
            the probabilities; normal limits, for the ratio on the log scale.
        """
        z = float(stats.norm.isf((1.0 - check_conf_level(conf_level)) / 2.0))
        records = []
        for time, part in self.parts.items():
            found = _measures(part)
            errors = _jackknife_error(part, self.clusters[time])
            for name, value in found.items():
                half = z * errors[name]
                low, high = value - half, value + half
                if name == "observed_to_predicted" and value > 0.0:
                    low, high = value * np.exp(-half / value), value * np.exp(half / value)
                records.append((time, name, value, errors[name], low, high))
        columns = ["time", "term", "estimate", "std_error", "conf_low", "conf_high"]
        return pd.DataFrame.from_records(records, columns=columns)

    def calibration(self, *, groups: int = 4, conf_level: float = 0.95) -> pd.DataFrame:
        """Return outcomes among those with similar predicted probabilities.

        Parameters
        ----------
        groups
            Parts of about equal size, in order of the predicted probability; ties stay together.

        Returns
        -------
        DataFrame
            ``time, group, nobs, predicted, estimate, std_error, conf_low, conf_high``: the mean
            predicted probability, and the share that left by then (Aalen-Johansen), with log-log
            limits.
        """
        if groups < 2:
            raise ValueError(f"groups must be 2 or more; got {groups}.")
        frames = []
        for time, part in self.parts.items():
            edges = np.unique(np.quantile(part.risk, np.linspace(0, 1, groups + 1)[1:-1]))
            place = np.searchsorted(edges, part.risk, side="left")
            for number, group in enumerate(np.unique(place), start=1):
                kept = place == group
                own = part.where(kept)
                error = _jackknife_error(own, self.clusters[time][kept])["observed"]
                value = np.array([_measures(own)["observed"]])
                names = {
                    "time": time,
                    "group": number,
                    "nobs": int(kept.sum()),
                    "predicted": own.risk.mean(),
                }
                frames.append(
                    probability_rows(names, value, np.array([error]), conf_level=conf_level)
                )
        return pd.concat(frames, ignore_index=True)

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_event, n_clusters`` in one row; events by the last time."""
        last = list(self.parts)[-1]
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [int(self.parts[last].case.sum())],
                "n_clusters": [len(np.unique(self.clusters[last]))],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        over = (
            f"each '{self.left_out}' predicted by models that left it out"
            if self.left_out is not None
            else "not cross-validated"
        )
        return f"accuracy of probabilities of dropping out from {self.how}, {over}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return tuple(self._warnings())

    def _warnings(self) -> Iterator[str]:
        if self.left_out is None and not self.given:
            yield (
                "The model saw these rows, and predicts new ones less well than these. "
                "Give leave_out= (the therapists, say)."
            )
        few = [f"{time:g}" for time, part in self.parts.items() if part.case.sum() < 10]
        if few and self.ahead:
            yield (
                f"Fewer than 10 left within {plural(self.ahead, 'session')} of "
                f"landmark {', '.join(few)}: little can be said of them."
            )
        elif few:
            yield f"Fewer than 10 had left by {', '.join(few)}: little can be said of them."

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the measures, as data."""
        tidy = self.tidy(conf_level=conf_level)
        section = Section(
            "From landmark" if self.ahead else "By time",
            tidy.assign(term=[_WORDS[name] for name in tidy["term"]], landmark=tidy["time"]),
            names=("landmark" if self.ahead else "time", "term"),
            measure="estimate",
            conf_level=conf_level,
        )
        sizes = {"rows": self.rows.n_used}
        remarks = ("Who was censored before a time is stood for by those who were not.",)
        return Account.of(self, sizes, (section,), remarks, sources=("blanche2013",))

    summary = summary_of
    _repr_html_ = html_of
