"""Whether a session better than usual is followed by fewer symptoms, and the other way round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_choice, did_you_mean
from alliance_stats.engine.lag_parameters import LagOptions
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, named_covariance, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.panel import lag_refits, lag_tables
from alliance_stats.panel.lag_notes import notes_on
from alliance_stats.panel.session_table import LaggedModel, check_consecutive, read_sessions
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed

__all__ = ["CrossLagged", "cross_lagged"]

# Fewer clusters than this carry no sandwich: its rank is at most their number.
FEWEST_CLUSTERS = 10

_FORMS = {
    None: "random-intercept cross-lagged panel model",
    "linear": "latent curve model with structured residuals",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CrossLagged:
    """Lagged effects between outcomes, within persons.

    Attributes
    ----------
    model
        The fitted model, in the ratings' own units.
    order
        The order in which the outcomes are rated within a session, or None.
    reliability
        The within-person reliability that was given for each outcome: a number, ``"estimate"``, or
        1 where ratings were taken as free of error.
    """

    model: LaggedModel
    order: tuple[str, ...] | None
    reliability: Mapping[str, float | str]

    __repr__ = one_line

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The outcomes."""
        return self.model.table.outcomes

    @property
    def rows(self) -> RowLedger:
        """Ledger of the rows used and set aside."""
        return self.model.table.rows

    @property
    def method(self) -> str:
        """What was fitted, and how."""
        options = self.model.options
        form = _FORMS[options.trends]
        if options.start == "correlated":
            form = "cross-lagged panel model in its accumulating form"
        start = {"stationary": ", stationary start", "free": ", first session free"}
        return (
            f"{form}{start.get(options.start, '')}, by full-information maximum likelihood "
            "with observed information"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, most serious first."""
        return notes_on(self.model, reliability=self.reliability, order=self.order)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what this result says, as data."""
        frame = self.tidy(conf_level=conf_level)
        keys = [name for name in ("strata", "session") if name in frame]
        frame["term"] = [
            Phrase("{} on {}", (row.predictor, row.outcome)) for row in frame.itertuples()
        ]
        lags = Section(
            "Effect at the next session",
            frame, names=(*keys, "term"), measure="b", statistic="t", conf_level=conf_level,
        )  # fmt: skip
        stable = self.random_effects()
        together = Section(
            "Stable differences", stable,
            names=tuple(c for c in ("strata", "level", "outcome", "other") if c in stable),
            measure="covariance", columns={"correlation": Column("r", "bounded")},
        )  # fmt: skip
        table = self.model.table
        sizes = {**table.sizes, "sessions": len(table.sessions)}
        fit = Phrase(
            "The log-likelihood is {} on {} parameters.",
            ((self.model.log_lik, 2), (self.model.n_parameters, 0)),
        )
        return Account.of(self, sizes, (lags, together), (fit,), sources=("hamaker2015",))

    summary = summary_of
    _repr_html_ = html_of

    def tidy(self, *, cluster: str | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return one row per lagged effect.

        ``outcome, predictor, lag, estimate, std_error, statistic, df, p_value, conf_low,
        conf_high``: points of the outcome at a session per point of the predictor above the
        person's own level at the previous session, all other outcomes of that session held
        constant. With free lags there is one row per later session, with groups one per group.

        Parameters
        ----------
        cluster
            A level of ``nested_in``, the person or ``cluster``: standard errors by the sandwich
            over its units, t with their number minus 1 degrees of freedom. By default observed
            information, z.

        Raises
        ------
        NotIdentifiedError
            Fewer than ten clusters.
        """
        vcov, df = self._vcov(cluster)
        return lag_tables.lagged_effects(self.model, vcov=vcov, df=df, conf_level=conf_level)

    def standardised(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the lagged effects in within-person SDs (root mean variance over sessions)."""
        return lag_tables.standardised_effects(self.model, conf_level=conf_level)

    def random_effects(self) -> pd.DataFrame:
        """Return covariances of random intercepts (and slopes): ``level, outcome, other, ...``."""
        return lag_tables.random_effects(self.model)

    def residual_covariances(self) -> pd.DataFrame:
        """Return covariances of innovations, of the first session, and of errors."""
        return lag_tables.residual_covariances(self.model)

    def means(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the sessions' means (or intercepts and slopes) and effects of covariates."""
        return lag_tables.session_means(self.model, conf_level=conf_level)

    def long_run(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``(I - Phi)^-1``: the total effect of a push of one point.

        Raises
        ------
        NotIdentifiedError
            Lagged effects that do not die out, or differ between sessions.
        """
        return lag_tables.long_run_effects(self.model, conf_level=conf_level)

    def impulse_responses(self, *, horizon: int = 6, conf_level: float = 0.95) -> pd.DataFrame:
        """Return how outcomes answer a shock of one point, at 0 to `horizon` sessions after it.

        ``impulse, outcome, sessions_after, estimate, std_error, conf_low, conf_high``, with
        pointwise bands by the delta method. With ``order=`` a shock also moves what is rated after
        it in the same session, as the covariance of innovations implies; without, it moves one
        outcome alone.
        """
        return lag_tables.impulse_responses(
            self.model, horizon=horizon, order=self.order, conf_level=conf_level
        )

    def same_session(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return effects inside a session (lag 0) and from the one before (lag 1), as ordered.

        Raises
        ------
        NotIdentifiedError
            No ``order=`` was given: the ratings do not say which came first.
        """
        if self.order is None:
            raise NotIdentifiedError(
                "What acts on what inside a session follows from the order of rating, which was "
                "not given. Fit with order=, the outcome that is rated first standing first."
            )
        return lag_tables.same_session_effects(self.model, order=self.order, conf_level=conf_level)

    def tests(self) -> pd.DataFrame:
        """Return likelihood-ratio tests: ``test, statistic, df, p_value, boundary, log_lik...``.

        Lagged effects equal over sessions and in groups, each direction zero, no linear trends,
        the first deviations uncorrelated with the random intercepts (against the accumulating
        form, K squared degrees of freedom) and stationary. Where `boundary` is true a variance
        lies on the boundary of its range, and the p-value is too large rather than too small.
        """
        return lag_refits.likelihood_ratio_tests(self.model)

    @renamed(on="outcome")
    def profile(self, *, outcome: str | None = None, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the lagged effects with profile-likelihood intervals.

        They are also valid where a variance is zero, which Wald intervals treat as known.

        Parameters
        ----------
        outcome
            An outcome: the effects on it alone; all effects if not given.
        """
        if outcome is not None and outcome not in self.outcomes:
            raise DataError(f"outcome names '{outcome}'. {did_you_mean(outcome, self.outcomes)}")
        return lag_refits.profile_intervals(self.model, on=outcome, conf_level=conf_level)

    def with_and_without_trends(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the lagged effects without and with persons' own linear trends."""
        return lag_refits.with_and_without_trends(self.model, conf_level=conf_level)

    def sensitivity(
        self,
        *,
        reliabilities: Sequence[float] = (1.0, 0.9, 0.8, 0.7, 0.6),
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the lagged effects at each of some within-person reliabilities of all outcomes."""
        return lag_refits.over_reliabilities(self.model, reliabilities, conf_level=conf_level)

    def sensitivity_to_leaving(
        self,
        *,
        outcome: str,
        shifts: Sequence[float],
        seed: Seed,
        n_imputations: int = 20,
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return the lagged effects if those who dropped out were `delta` points off expectation.

        Sessions after a person's last are drawn from the model given the ratings made, `outcome` is
        shifted by each of `shifts` (points), and the fits are pooled by Rubin's rules. A shift of
        0 is missing at random; shifts far from it show what dropout of those doing worse would do.
        """
        return lag_refits.over_shifts(
            self.model, shifts, outcome=outcome, n_imputations=n_imputations, seed=seed,
            conf_level=conf_level,
        )  # fmt: skip

    def deviations(self) -> pd.DataFrame:
        """Return each rating minus its mean and the person's predicted level, by session."""
        return lag_refits.deviations(self.model)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, log-likelihood, AIC, BIC (persons), convergence."""
        model, table = self.model, self.model.table
        seen = np.isfinite(table.y)
        n = len(table.persons)
        k = model.n_parameters
        row: dict[str, object] = {
            "n_ratings": int(seen.sum()),
            "n_persons": n,
            "n_sessions": len(table.sessions),
            **{f"n_{level}": len(np.unique(table.units[level])) for level in table.nested_in},
            "n_parameters": k,
            "log_lik": model.log_lik,
            "aic": 2.0 * k - 2.0 * model.log_lik,
            "bic": np.log(n) * k - 2.0 * model.log_lik,
            "largest_root": float(lag_tables.largest_root(model).max()),
            "converged": model.fit.converged,
            "singular": bool(model.fit.at_zero.any()),
        }
        return pd.DataFrame([row])

    def vcov(self, *, cluster: str | None = None) -> pd.DataFrame:
        """Return the covariance of the lagged effects, named ``outcome:predictor``."""
        own, _ = self._vcov(cluster)
        frame = lag_tables.lagged_effects(self.model)
        keys = [c for c in ("strata", "session", "outcome", "predictor") if c in frame]
        _, V = self.model.delta(lambda theta: lag_tables.lags_flat(self.model, theta), own)
        return named_covariance(V, *(frame[key] for key in keys))

    def _vcov(self, cluster: str | None) -> tuple[Array | None, float]:
        if cluster is None:
            return None, np.inf
        table = self.model.table
        units = {table.names["person"]: np.arange(len(table.persons)), **table.units}
        if cluster not in units:
            raise DataError(
                f"'{cluster}' is no level of this model. {did_you_mean(cluster, list(units))}"
            )
        n = len(np.unique(units[cluster]))
        if n < FEWEST_CLUSTERS:
            raise NotIdentifiedError(
                f"There are {n} units of '{cluster}'. A sandwich over so few has no more than "
                f"{n - 1} independent directions and is far too small; keep the model's own "
                "standard errors."
            )
        if (
            table.nested_in
            and cluster != table.nested_in[-1]
            and cluster not in (table.names.get("cluster"),)
        ):
            raise DataError(
                f"Units of '{cluster}' are not independent in this model: they lie in "
                f"'{table.nested_in[-1]}', whose effects they share. Ask for that level."
            )
        return self.model.robust_vcov(units[cluster]), float(n - 1)


def cross_lagged(
    data: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    person: str,
    session: str,
    nested_in: Sequence[str] = (),
    means: str = "session",
    trends: str | None = None,
    start: str = "free",
    lags: str = "equal",
    group: str | None = None,
    order: Sequence[str] | None = None,
    reliability: Mapping[str, float | str] | float | str | None = None,
    covariates: str | None = None,
    cluster: str | None = None,
) -> CrossLagged:
    """Estimate how outcomes affect one another from session to session, within persons.

    Parameters
    ----------
    data
        Long table, one row per person and session; not changed. A missing rating, a missed session
        and an early end need no row.
    outcomes
        Columns of one or more outcomes, such as ``["alliance", "symptoms"]``.
    person, session
        Columns of the person's id and of the session's number, in whole numbers. A lagged effect
        runs from one number to the next; a number that a person skips is a missing session.
    nested_in
        Columns of the levels above persons, innermost first: ``["family", "therapist"]``.
    means
        ``"session"``: a mean for each session. ``"linear"``: an intercept at the first session and
        a slope.
    trends
        ``"linear"`` gives each person an individual slope, correlated with the intercepts.
    start
        Covariance of the first session's deviations: ``"free"``; ``"stationary"``, the one that
        later sessions converge to; ``"correlated"``, free and correlated with the random intercepts
        (the accumulating form: people enter away from their own equilibrium).
    lags
        ``"equal"`` over sessions, or ``"free"``.
    group
        Column of groups to compare: separate parameters, but common effects of levels above
        persons.
    order
        The outcomes in the order in which they are rated within a session. It determines impulse
        responses and ``same_session()``, not the lagged effects.
    reliability
        Within-person reliability: the share of an outcome's variance from session to session,
        within persons, that is not error of measurement. A number for all outcomes or one for
        each, ``"estimate"`` to estimate the error's variance; 1 if not given.
    covariates
        Fixed effects on the level of every outcome, as a formula's right-hand side.
    cluster
        Column of independent clusters, for ``tidy(cluster=...)``, if not a level of `nested_in`.

    Returns
    -------
    CrossLagged
        ``tidy()`` has the lagged effects.

    Raises
    ------
    DataError
        Impossible data, named with column and rows.
    NotIdentifiedError
        Fewer than three sessions; lags free under a stationary start.

    Notes
    -----
    ``z_is = mu_s + b_i (+ family + therapist) + w_is``, ``w_is = Phi w_i,s-1 + e_is``,
    ``e ~ N(0, Sigma)``, with w at the first session uncorrelated with b: the random-intercept
    cross-lagged panel model (Hamaker, Kuiper and Grasman 2015, doi:10.1037/a0038889), with linear
    trends the latent curve model with structured residuals (Curran et al. 2014,
    doi:10.1037/a0035297), here with families and therapists above. The likelihood assumes that
    ratings are missing at random. A fixed reliability sets an error variance of (1 - reliability)
    times the within-person variance of the model without error, averaged over sessions.

    Examples
    --------
    >>> from alliance_stats import cross_lagged, example_study
    >>> sessions = example_study().sessions
    >>> early = sessions[sessions["session"] <= 6]
    >>> found = cross_lagged(
    ...     early, outcomes=["alliance", "symptoms"], person="person", session="session",
    ...     nested_in=["family", "therapist"],
    ... )
    >>> found.tidy()[["outcome", "predictor", "lag"]].values.tolist()[1]
    ['alliance', 'symptoms', 1]
    """
    check_choice(means, ("session", "linear"), name="means")
    check_choice(start, ("free", "stationary", "correlated"), name="start")
    check_choice(lags, ("equal", "free"), name="lags")
    if trends is not None:
        check_choice(trends, ("linear",), name="trends")
    if lags == "free" and start == "stationary":
        raise NotIdentifiedError(
            "Lagged effects that differ between sessions tend to no one state, so the start "
            "cannot be stationary; take start='free'."
        )
    table = read_sessions(
        data, outcomes=outcomes, person=person, session=session, nested_in=nested_in,
        group=group, cluster=cluster, covariates=covariates, means=means,
    )  # fmt: skip
    check_consecutive(table)
    in_order = lag_tables.check_order(order, table.outcomes)
    reliable = lag_refits.check_reliabilities(reliability, table.outcomes)
    if trends == "linear" and len(table.sessions) < 4:
        raise NotIdentifiedError(
            "Persons' own linear trends beside lagged effects need at least four sessions; there "
            f"are {len(table.sessions)}."
        )
    options = LagOptions(means=means, trends=trends, start=start, lags=lags)
    return CrossLagged(lag_refits.fit_reliable(table, options, reliable), in_order, reliable)
