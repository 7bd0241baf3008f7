"""Results of a mediation analysis: effects with intervals, and what could explain them away."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.association.mediation.asked import Asked
from alliance_stats.association.mediation.counterfactuals import NATURAL
from alliance_stats.association.mediation.equations import Effect, Products
from alliance_stats.association.mediation.path_intervals import Rise, limits, p_value
from alliance_stats.checks import check_conf_level
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, estimate_columns, named_covariance, one_line
from alliance_stats.ledger import RowLedger

__all__ = ["Mediation", "effect_frame"]

_ASSUMED = (
    "An indirect effect is one of a cause only if nothing that is not in the model moves treatment "
    "and mediator, treatment and outcome, or mediator and outcome; random assignment of the "
    "treatment grants the first two, never the third."
)
_NATURAL = (
    "Natural effects need besides that the treatment moves nothing that moves both mediator and "
    "outcome, and that both models hold."
)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Mediation:
    """Indirect and direct effects, returned by :func:`mediation`.

    Attributes
    ----------
    asked
        What mediates what.
    how
        What was fitted, in a phrase.
    paths
        ``level, from, to, estimate, std_error, df``: the coefficients that make up the effects.
    effects
        ``level, term, at, estimate, null``.
    draws
        (draws, effects) the effects as they would vary: Monte Carlo or bootstrap.
    products
        The effects as products of paths, with draws of these; None for natural effects.
    rise
        How the likelihood falls away from the estimates, where profiles were requested.
    errors
        Correlation of outcome and mediator, both given treatment and covariates, and the ratio of
        their SDs; NaN where not defined.
    remarks
        What should be read with the numbers.
    rows
        Ledger of the rows used and set aside.
    """

    asked: Asked
    how: str
    paths: pd.DataFrame
    effects: pd.DataFrame
    draws: Array
    products: Products | None
    rise: Rise | None
    errors: tuple[float, float]
    remarks: tuple[str, ...]
    rows: RowLedger

    __repr__ = one_line

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return self.how

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know first."""
        return self.remarks

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per effect.

        Returns
        -------
        DataFrame
            ``level`` (``within``, ``between`` or empty), ``term, at`` (value of the moderator),
            ``estimate, std_error`` (SD of the draws), ``p_value`` (twice the smaller share of draws
            on one side of no effect; for profiles that of the likelihood-ratio test), ``conf_low,
            conf_high`` (quantiles of the draws; for profiles where the likelihood has fallen
            enough).
        """
        check_conf_level(conf_level)
        table = _judged(self.effects, self.draws, conf_level)
        if self.rise is None or self.products is None:
            return table
        found = [_by_profile(self.rise, effect, conf_level) for effect in self.products.effects]
        return table.assign(
            **dict(zip(("conf_low", "conf_high", "p_value"), np.array(found).T, strict=True))
        )

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the effects over the draws, labelled ``level:term:at``.

        Labels contain only what the effects have: ``term`` alone on one level without a moderator.
        """
        effects = self.effects
        keys = [
            effects[name]
            for name, has in (
                ("level", (effects["level"] != "").any()),
                ("term", True),
                ("at", effects["at"].notna().any()),
            )
            if has
        ]
        covariance = np.atleast_2d(np.cov(self.draws, rowvar=False))
        return named_covariance(covariance, *keys)

    def conditional(self, at: Sequence[float], *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the effects at other values of the moderator, from the same draws of the paths.

        Parameters
        ----------
        at
            Values of the moderator.
        conf_level
            Coverage of each interval taken separately.

        Returns
        -------
        DataFrame
            As :meth:`tidy`, one row per effect and value; by draws.

        Raises
        ------
        NotIdentifiedError
            No moderator, or natural effects, which are available through ``at=`` of mediation.
        """
        if self.asked.moderator is None or self.products is None:
            raise NotIdentifiedError(
                "Effects at values of a moderator are of products of paths with moderator=; of "
                "natural effects ask mediation for at=."
            )
        values = [float(value) for value in at]
        if not values or not np.isfinite(values).all():
            raise DataError("at= is a list of values of the moderator.")
        found = [e for e in self.products.along(values) if np.isfinite(e.at)]
        frame = effect_frame(found, self.products.paths.estimate)
        draws = np.column_stack([e.of(self.products.theta) for e in found])
        return _judged(frame, draws, conf_level)

    def sobel(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the normal-theory test of the effects, for comparison with older papers.

        A product of two estimates is not normal: its symmetric interval undercovers on one side and
        has too little power (MacKinnon, Lockwood & Williams 2004, doi:10.1207/s15327906mbr3901_4).
        ``term, estimate, std_error, statistic, p_value, ...``.
        """
        if self.products is None:
            raise NotIdentifiedError("Natural effects have no Sobel test: they are no products.")
        estimate = self.effects["estimate"].to_numpy()
        errors = np.array([e.delta_error(self.products.paths) for e in self.products.effects])
        from_delta = estimate_columns(estimate, errors, conf_level=conf_level)
        return pd.concat([self.effects[["level", "term", "at"]], from_delta], axis=1)

    def sensitivity(self, *, correlations: Sequence[float] = ()) -> pd.DataFrame:
        """Return the indirect effect under an unmeasured common cause of mediator and outcome.

        Parameters
        ----------
        correlations
            Of the errors of mediator and outcome, between -1 and 1; -0.5 to 0.5 by default.

        Returns
        -------
        DataFrame
            ``correlation, estimate``: one mediator, linear (Imai, Keele & Yamamoto 2010,
            doi:10.1214/10-STS321, theorem 2). The last row is the correlation at which the effect
            is zero.

        Raises
        ------
        NotIdentifiedError
            Several mediators, a moderator, nested rows, or families that are not linear.
        """
        r, ratio = self.errors
        if np.isnan(r):
            raise NotIdentifiedError(
                "The correlation of errors is defined for one mediator, linear, on one level, "
                "without a moderator. For other outcomes see e_value()."
            )
        chosen = tuple(correlations) or tuple(np.round(np.arange(-0.5, 0.51, 0.1), 10))
        bad = [rho for rho in chosen if not -1.0 < rho < 1.0]
        if bad:
            raise ValueError(f"A correlation lies between -1 and 1; got {bad[0]}.")
        table = self.paths.set_index(["from", "to"])["estimate"]
        a = float(table[self.asked.treatment, self.asked.mediators[0]])
        rows = []
        for rho in (*chosen, r):
            root = np.sqrt((1.0 - r**2) / (1.0 - rho**2))
            rows.append({"correlation": rho, "estimate": a * ratio * (r - rho * root)})
        return pd.DataFrame(rows)

    def e_value(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the E-values of natural effects that are ratios.

        The least association (a risk ratio) that an unmeasured common cause of mediator and
        outcome would need with both to explain the effect away: ``RR + sqrt(RR (RR - 1))`` (Smith
        & VanderWeele 2019, doi:10.1097/EDE.0000000000001064), and the same of the limit nearer 1.

        Raises
        ------
        NotIdentifiedError
            Where effects are differences: call mediation with ``scale="ratio"``.
        """
        if not (self.effects["null"] == 1.0).any():
            raise NotIdentifiedError("E-values are of ratios: ask mediation for scale='ratio'.")
        table = self.tidy(conf_level=conf_level)
        own = table[table["term"].isin(NATURAL[:3])]
        near = np.where(own["estimate"] >= 1.0, own["conf_low"], own["conf_high"])
        crosses = (own["conf_low"] <= 1.0) & (own["conf_high"] >= 1.0)
        found = pd.DataFrame(
            {
                "term": own["term"].to_numpy(),
                "estimate": _e_value(own["estimate"].to_numpy()),
                "limit": np.where(crosses, 1.0, _e_value(near)),
            }
        )
        if own["at"].notna().any():  # of a moderator's values
            found.insert(1, "at", own["at"].to_numpy())
        return found

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs, n_mediators, n_resamples``."""
        n = {"nobs": self.rows.n_used, "n_mediators": len(self.asked.mediators)}
        return pd.DataFrame([{**n, "n_resamples": len(self.draws)}])

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the paths and the effects as data."""
        effects = self.tidy(conf_level=conf_level)
        names = [
            name
            for name in ("level", "term", "at")
            if name == "term" or (effects[name].notna() & (effects[name].astype(str) != "")).any()
        ]
        leading = ("level", "from", "to") if (self.paths["level"] != "").any() else ("from", "to")
        sections = (
            Section("Path", self.paths, leading, measure="b"),
            Section("Effect", effects, tuple(names), conf_level=conf_level),
        )
        sizes = {"rows": self.rows.n_used}
        said = (_ASSUMED,) if self.products is not None else (_ASSUMED, _NATURAL)
        return Account.of(
            self,
            sizes,
            sections,
            said,
            sources=("imai2010",) if self.products is None else ("mackinnon2004",),
        )

    summary = summary_of
    _repr_html_ = html_of


def effect_frame(effects: Sequence[Effect], theta: Array) -> pd.DataFrame:
    """Return ``level, term, at, estimate, null`` of effects at some paths."""
    return pd.DataFrame(
        {
            "level": [e.level for e in effects],
            "term": [e.term for e in effects],
            "at": [e.at for e in effects],
            "estimate": [float(e.of(theta)) for e in effects],
            "null": 0.0,
        }
    )


def _judged(effects: pd.DataFrame, draws: Array, conf_level: float) -> pd.DataFrame:
    """Add standard errors, tests and limits from draws."""
    alpha = 1.0 - check_conf_level(conf_level)
    low, high = np.quantile(draws, [alpha / 2.0, 1.0 - alpha / 2.0], axis=0)
    null = effects["null"].to_numpy()
    n = len(draws)
    below = ((draws < null) + 0.5 * (draws == null)).sum(axis=0)
    below = (below + 0.5) / (n + 1.0)
    p = np.minimum(2.0 * np.minimum(below, 1.0 - below), 1.0)
    return effects.drop(columns="null").assign(
        std_error=draws.std(axis=0, ddof=1),
        p_value=np.where(np.isnan(null), np.nan, p),
        conf_low=low,
        conf_high=high,
    )


def _by_profile(rise: Rise, effect: Effect, conf_level: float) -> tuple[float, float, float]:
    return *limits(rise, effect.of, conf_level), p_value(rise, effect.of, 0.0)


def _e_value(ratio: Array) -> Array:
    above = np.where(ratio >= 1.0, ratio, 1.0 / ratio)
    return np.asarray(above + np.sqrt(above * (above - 1.0)))
