"""Kaplan-Meier curves of time to an ending."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.estimates import Array, Integers, one_line
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.survival.curves.life_table import (
    LifeTable,
    asked_times,
    crossing_time,
    events_since,
    greenwood,
    life_table,
    n_at_risk,
    own_roots,
    pairwise_differences,
    places_at,
    probability_interval,
    probability_rows,
    product_limit,
    step_values,
    survival_influence,
)
from alliance_stats.survival.rows.time_at_risk import (
    Spells,
    few_clusters_warning,
    read_intervals,
    refuse_single_clusters,
    weighted_rows,
)

__all__ = ["KaplanMeier", "SurvivalCurve", "kaplan_meier"]


@dataclass(frozen=True, slots=True, eq=False)
class SurvivalCurve:
    """One stratum's curve.

    Attributes
    ----------
    label
        The stratum's name.
    table
        Counts at each time.
    survival, std_error
        (k,) S(t) and its standard error, both on the probability scale; the error is NaN once S
        is 0 (without clusters), where Greenwood's formula has no value.
    spells
        The rows, for estimates at other times.
    """

    label: str
    table: LifeTable
    survival: Array
    std_error: Array
    spells: Spells


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KaplanMeier:
    """Kaplan-Meier curves, one per stratum.

    Attributes
    ----------
    curves
        The curves in the strata's sorted order.
    n_clusters
        Clusters behind the standard errors; None where they are Greenwood's.
    rows
        What happened to the rows.
    """

    curves: tuple[SurvivalCurve, ...]
    n_clusters: int | None
    rows: RowLedger

    __repr__ = one_line

    def tidy(self, *, conf_level: float = 0.95, conf_type: str = "log-log") -> pd.DataFrame:
        """Return one row per stratum and time at which a row ended.

        Parameters
        ----------
        conf_level
            Pointwise coverage.
        conf_type
            ``"log-log"``, ``"log"`` (R's default) or ``"plain"``.

        Returns
        -------
        DataFrame
            ``strata, time, n_risk, n_event, n_censor, estimate, std_error, conf_low, conf_high``:
            `estimate` is S(time), the probability of an ending later than `time`; `std_error` is
            on that scale.
        """
        return pd.concat(
            [_tidy_curve(curve, conf_level, conf_type) for curve in self.curves], ignore_index=True
        )

    def at_risk(self, times: Sequence[float]) -> pd.DataFrame:
        """Return the risk table: rows with ``entry < t <= exit`` at each of `times`.

        At a time of :meth:`tidy` this is its ``n_risk``; at 0, all rows at risk from the start.

        Returns
        -------
        DataFrame
            ``strata, time, n_risk``, one row per stratum and time.
        """
        ticks = np.asarray(times, dtype=np.float64)
        return pd.concat(
            [
                pd.DataFrame(
                    {"strata": curve.label, "time": ticks, "n_risk": n_at_risk(curve.spells, ticks)}
                )
                for curve in self.curves
            ],
            ignore_index=True,
        )

    def at(
        self, times: Sequence[float], *, conf_level: float = 0.95, conf_type: str = "log-log"
    ) -> pd.DataFrame:
        """Return the curves at chosen times, as R's ``summary(survfit(...), times = )`` does.

        Parameters
        ----------
        times
            In the caller's time unit, 0 or later.
        conf_level, conf_type
            As in :meth:`tidy`.

        Returns
        -------
        DataFrame
            ``strata, time, n_risk, n_event, estimate, std_error, conf_low, conf_high``: `n_event`
            counts events since the time before it in the list (the first: since the start). NaN
            after the last time observed in a stratum, unless its curve had fallen to 0.
        """
        asked = asked_times(times)
        found = []
        for curve in self.curves:
            place = places_at(curve.table.time, curve.survival, asked)
            survival = step_values(curve.survival, place, start=1.0)
            std_error = step_values(curve.std_error, place, start=0.0)
            names = {
                "strata": curve.label,
                "time": asked,
                "n_risk": n_at_risk(curve.spells, asked),
                "n_event": events_since(curve.table.n_event, place),
            }
            table = probability_rows(
                names, survival, std_error, conf_level=conf_level, conf_type=conf_type
            )
            table.loc[survival == 1.0, ["conf_low", "conf_high"]] = 1.0
            found.append(table)
        return pd.concat(found, ignore_index=True)

    def differences(self, times: Sequence[float], *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return how far apart the curves of each pair of strata are at chosen times.

        Returns
        -------
        DataFrame
            ``contrast, time, estimate, std_error, statistic, p_value, conf_low, conf_high``: the
            later stratum in sorted order minus the earlier, on the probability scale, normal
            theory. Clusters that span both strata are allowed for. NaN where a curve
            is not known.
        """
        asked = asked_times(times)
        places = [places_at(c.table.time, c.survival, asked) for c in self.curves]
        pairs = list(zip(self.curves, places, strict=True))
        values = np.stack([step_values(c.survival, at, start=1.0) for c, at in pairs])
        if self.n_clusters is None:
            root = own_roots(np.stack([step_values(c.std_error, p, start=0.0) for c, p in pairs]))
        else:
            root = np.stack([self._influence_at(c, p, self.n_clusters) for c, p in pairs])
        names = [curve.label for curve in self.curves]
        return pairwise_differences(
            names, (), asked, values[:, None], root[:, None], conf_level=conf_level
        )

    def _influence_at(self, curve: SurvivalCurve, place: Integers, n_clusters: int) -> Array:
        """Return each cluster's influence (times, clusters) on a curve."""
        own = np.zeros((len(place), n_clusters))
        for clusters, part in survival_influence(curve.spells, curve.table, curve.survival):
            own[:, clusters] = step_values(part, place, start=0.0).T
        own[place < 0] = np.nan
        return own

    def quantiles(
        self, probability: float = 0.5, *, conf_level: float = 0.95, conf_type: str = "log-log"
    ) -> pd.DataFrame:
        """Return the time by which `probability` of each stratum has ended.

        The limits are the times at which the curve's pointwise limits cross ``1 - probability``
        (Brookmeyer & Crowley 1982, doi:10.2307/2530286). Where a curve is flat at that level,
        the middle of the flat piece is given. NaN: never reached.

        Returns
        -------
        DataFrame
            ``strata, nobs, n_event, estimate, conf_low, conf_high``, in the caller's time unit.
        """
        if not isinstance(probability, Real) or not 0.0 < probability < 1.0:
            raise ValueError(
                f"probability must lie between 0 and 1, one at a time; got {probability!r}."
            )
        level = 1.0 - probability
        records = []
        for curve in self.curves:
            low, high = probability_interval(
                curve.survival, curve.std_error, conf_level=conf_level, conf_type=conf_type
            )
            time = curve.table.time
            records.append(
                {
                    "strata": curve.label,
                    "nobs": len(curve.spells.exit),
                    "n_event": int(curve.table.n_event.sum()),
                    "estimate": crossing_time(time, curve.survival, level),
                    "conf_low": crossing_time(time, low, level),
                    "conf_high": crossing_time(time, high, level),
                }
            )
        return pd.DataFrame.from_records(records)

    def medians(self, *, conf_level: float = 0.95, conf_type: str = "log-log") -> pd.DataFrame:
        """Return each stratum's median time; see :meth:`quantiles`."""
        return self.quantiles(0.5, conf_level=conf_level, conf_type=conf_type)

    def glance(self) -> pd.DataFrame:
        """Return ``nobs, n_event, n_strata, n_clusters`` in one row."""
        return pd.DataFrame(
            {
                "nobs": [self.rows.n_used],
                "n_event": [sum(int(curve.table.n_event.sum()) for curve in self.curves)],
                "n_strata": [len(self.curves)],
                "n_clusters": [self.n_clusters],
            }
        )

    @property
    def method(self) -> str:
        """What was computed, in a phrase."""
        if self.n_clusters is None:
            return "Kaplan-Meier estimate, Greenwood standard errors"
        weighted = any(curve.spells.weight is not None for curve in self.curves)
        what = "row" if weighted and self.n_clusters == self.rows.n_used else "cluster"
        name = "Weighted Kaplan-Meier" if weighted else "Kaplan-Meier"
        return f"{name} estimate, standard errors over {plural(self.n_clusters, what)}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know before reading any number."""
        return tuple(self._warnings())

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return medians and the survival at the end of each curve, as data."""
        medians = self.medians(conf_level=conf_level)
        ends = self.tidy(conf_level=conf_level).groupby("strata", sort=False).tail(1)
        curves = medians.assign(
            last=ends["time"].to_numpy(),
            left=ends["estimate"].to_numpy(),
            left_low=ends["conf_low"].to_numpy(),
            left_high=ends["conf_high"].to_numpy(),
        )
        section = Section(
            "Curve",
            curves,
            names=("strata",),
            measure="median",
            kind="time",
            columns={
                "nobs": Column("rows", "count"),
                "n_event": Column("events", "count"),
                "left": Column("without the event at the end", "share", "left_low", "left_high"),
                "last": Column("last time", "time"),
            },
            conf_level=conf_level,
            undefined="median not reached",
        )
        remarks = ["Intervals are pointwise, by the log-log transformation."]
        if any(curve.table.n_censor.any() for curve in self.curves):
            remarks.append(
                "Censored rows, however they ended, are treated as if they could still have the "
                "event."
            )
        sizes = {"rows": self.rows.n_used, "events": int(medians["n_event"].sum())}
        return Account.of(
            self, sizes, (section,), remarks, sources=("kaplan1958", "brookmeyer1982")
        )

    summary = summary_of
    _repr_html_ = html_of

    def _warnings(self) -> Iterator[str]:
        for curve in self.curves:
            emptied = np.flatnonzero(curve.survival == 0)
            if len(emptied) and emptied[0] < len(curve.survival) - 1:
                yield (
                    f"The curve of '{curve.label}' falls to 0 at time "
                    f"{curve.table.time[emptied[0]]:g}, when the few at risk so early all had the "
                    "event, and stays there although others enter later."
                )
        if self.n_clusters is not None:
            yield from few_clusters_warning(self.n_clusters)


def kaplan_meier(
    data: pd.DataFrame,
    *,
    time: Hashable,
    event: Hashable,
    entry: Hashable | None = None,
    strata: Hashable | Sequence[Hashable] | None = None,
    cluster: Hashable | None = None,
    weights: Hashable | None = None,
) -> KaplanMeier:
    """Estimate the probability of no event by each time.

    Censored rows are treated as if they could still have the event. With other endings
    (planned ones, when the event is dropout), the curve describes a world in which these cannot
    happen; :func:`cumulative_incidence` estimates the share that does have the event.

    ``S(t) = prod over s <= t of (1 - d(s) / n(s))`` with d(s) events among n(s) at risk (Kaplan &
    Meier 1958, doi:10.1080/01621459.1958.10501452). The standard error is Greenwood's, or, with
    `cluster`, from the summed influence of each cluster (infinitesimal jackknife), with no
    small-sample factor.

    Parameters
    ----------
    data
        One row per unit that can end (or, with `entry`, per interval at risk).
    time
        Column: time of the event or of the last observation, above 0.
    event
        Column: 1 or True for the event, 0 or False for censored.
    entry
        Column: time from which the row was at risk (delayed entry); a row that enters at t is not
        at risk at t.
    strata
        Column or columns: one curve per value.
    cluster
        Column: units that are not independent, such as a therapist's families.
    weights
        Column of positive weights, how many rows each stands for (inverse probabilities of being
        treated, of being seen, of being sampled). Standard errors are then robust, over `cluster`
        or over the rows, without allowing for estimation of the weights. Counts are of rows.

    Returns
    -------
    KaplanMeier

    Raises
    ------
    DataError
        Impossible times, an event that is not 0 or 1, a missing column.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, kaplan_meier
    >>> families = endings(example_study()).units
    >>> curve = kaplan_meier(families, time="time", event="event")
    >>> curve.tidy()[["time", "n_risk", "n_event", "estimate"]].round(3).head(3)
       time  n_risk  n_event  estimate
    0   1.0     240       11     0.954
    1   2.0     227        7     0.925
    2   3.0     217       11     0.878
    """
    intervals = read_intervals(
        data, time=time, event=event, entry=entry, strata=strata, cluster=cluster,
        also=[] if weights is None else [weights],
    )  # fmt: skip
    refuse_single_clusters(intervals, cluster)
    intervals = weighted_rows(intervals, weights)
    curves = tuple(
        _curve(intervals.spells(number), label) for number, label in enumerate(intervals.strata)
    )
    return KaplanMeier(
        curves=curves,
        n_clusters=None if intervals.cluster is None else intervals.n_clusters,
        rows=intervals.rows,
    )


def _curve(spells: Spells, label: str) -> SurvivalCurve:
    table = life_table(spells)
    survival = product_limit(table)
    if spells.cluster is None:
        with np.errstate(invalid="ignore"):  # 0 * infinity once S is 0: undefined, hence NaN
            std_error = survival * np.sqrt(np.cumsum(greenwood(table.n_risk, table.n_event)))
    else:
        squares = np.zeros(len(table.time))
        for _, influence in survival_influence(spells, table, survival):
            squares += (influence**2).sum(axis=0)
        std_error = np.sqrt(squares)
    return SurvivalCurve(
        label=label, table=table, survival=survival, std_error=std_error, spells=spells
    )


def _tidy_curve(curve: SurvivalCurve, conf_level: float, conf_type: str) -> pd.DataFrame:
    names = {
        "strata": curve.label,
        "time": curve.table.time,
        "n_risk": curve.table.n_risk,
        "n_event": curve.table.n_event,
        "n_censor": curve.table.n_censor,
    }
    return probability_rows(
        names, curve.survival, curve.std_error, conf_level=conf_level, conf_type=conf_type
    )
