"""Several outcomes at once: how they go together within persons, between persons and above."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import check_choice
from alliance_stats.engine.lag_model import fit_model
from alliance_stats.engine.lag_parameters import LagOptions, squares, take
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import (
    Array,
    Integers,
    named_covariance,
    one_line,
    two_sided_p,
    wald_interval,
)
from alliance_stats.ledger import RowLedger
from alliance_stats.panel import lag_tables
from alliance_stats.panel.lag_notes import notes_on
from alliance_stats.panel.session_table import LaggedModel, read_sessions

__all__ = ["SeveralOutcomes", "several_outcomes"]


_Place = tuple[Integers, int, int]  # covariance, and which of its elements


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SeveralOutcomes:
    """Several outcomes modelled jointly over persons, families and therapists.

    Attributes
    ----------
    model
        The fitted model, in the ratings' own units.
    """

    model: LaggedModel

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
        by = "restricted maximum likelihood" if self.model.options.reml else "maximum likelihood"
        growth = ", linear growth" if self.model.options.trends == "linear" else ""
        return f"mixed model of several outcomes{growth}, covariances unstructured, by {by}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know, most serious first."""
        return notes_on(self.model, reliability={}, order=self.outcomes)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what this result says, as data."""
        correlations = Section(
            "Correlations", self.tidy(conf_level=conf_level), names=("level", "outcome", "other"),
            measure="r", kind="bounded", statistic="z", conf_level=conf_level,
        )  # fmt: skip
        return Account.of(self, self.model.table.sizes, (correlations,), sources=("bates2015",))

    summary = summary_of
    _repr_html_ = html_of

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return correlations at each level: ``level, outcome, other, estimate, ...``.

        Rows ``within <person>`` (of a session's residuals), then persons, families, therapists.
        Standard errors and intervals are by Fisher's z and observed information; where a variance
        is zero there is no correlation, and the row has missing values.
        """
        return pd.DataFrame(
            [
                {"level": level, "outcome": outcome, "other": other}
                | _correlation(self.model, place, conf_level)
                for (level, outcome, other), place in self._places().items()
            ]
        )

    def _places(self) -> dict[tuple[str, str, str], _Place]:
        """Return where each correlation lies, by level and its two outcomes."""
        model, table = self.model, self.model.table
        parts = [(f"within {table.names['person']}", model.parameters.innovation[0, 0])]
        parts += [(table.names["person"], model.parameters.person[0])]
        parts += list(zip(table.nested_in, model.parameters.above, strict=True))
        names = list(self.outcomes) + [f"{name} per session" for name in self.outcomes]
        return {
            (level, names[i], names[j]): (index, i, j)
            for level, index in parts
            for i in range(len(index))
            for j in range(i)
        }

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the correlations, labelled ``level:outcome:other``.

        By the delta method, of the correlations that have a standard error.
        """
        table = self.tidy()
        known = table["std_error"].notna().to_numpy()
        places = [place for place, has in zip(self._places().values(), known, strict=True) if has]
        _, V = self.model.delta(lambda theta: _fisher(theta, places))
        slope = 1.0 - table["estimate"].to_numpy()[known] ** 2
        keys = table.loc[known, ["level", "outcome", "other"]]
        return named_covariance(V * np.outer(slope, slope), *(keys[name] for name in keys))

    def random_effects(self) -> pd.DataFrame:
        """Return covariances of random intercepts (and slopes): ``level, outcome, other, ...``."""
        return lag_tables.random_effects(self.model)

    def residual_covariances(self) -> pd.DataFrame:
        """Return covariances of the outcomes around a person's own level."""
        return lag_tables.residual_covariances(self.model)

    def means(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return the sessions' means (or intercepts and slopes) and effects of covariates."""
        return lag_tables.session_means(self.model, conf_level=conf_level)

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, log-likelihood, AIC, convergence."""
        model, table = self.model, self.model.table
        k = model.n_parameters
        row: dict[str, object] = {
            "n_ratings": int(np.isfinite(table.y).sum()),
            "n_persons": len(table.persons),
            **{f"n_{level}": len(np.unique(table.units[level])) for level in table.nested_in},
            "n_parameters": k,
            "log_lik": model.log_lik,
            "aic": 2.0 * k - 2.0 * model.log_lik,
            "reml": model.options.reml,
            "converged": model.fit.converged,
            "singular": bool(model.fit.at_zero.any()),
        }
        return pd.DataFrame([row])


def _fisher(theta: Array, places: Sequence[_Place]) -> Array:
    """Return Fisher's z of the correlations, (R, m), of parameter points (R, P)."""
    columns = []
    for index, i, j in places:
        S = squares(take(theta, index))
        columns.append(np.arctanh(S[:, i, j] / np.sqrt(S[:, i, i] * S[:, j, j])))
    return np.stack(columns, axis=1)


def _correlation(model: LaggedModel, place: _Place, conf_level: float) -> dict[str, float]:
    """Return one correlation with its interval by Fisher's z."""
    index, i, j = place
    S = squares(take(model.theta[None], index))[0]
    nowhere = dict.fromkeys(
        ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"), np.nan
    )
    if S[i, i] <= 0.0 or S[j, j] <= 0.0:
        return nowhere
    r = float(S[i, j] / np.sqrt(S[i, i] * S[j, j]))
    if abs(r) > 1.0 - 1e-9:
        return nowhere | {"estimate": r}
    z, V = model.delta(lambda theta: _fisher(theta, [place]))
    se = float(np.sqrt(V[0, 0]))
    low, high = wald_interval(z[0], se, conf_level=conf_level)
    return {
        "estimate": r,
        "std_error": se * (1.0 - r**2),
        "statistic": float(z[0]) / se,
        "p_value": float(two_sided_p(z[0] / se)),
        "conf_low": float(np.tanh(low)),
        "conf_high": float(np.tanh(high)),
    }


def several_outcomes(
    data: pd.DataFrame,
    *,
    outcomes: Sequence[str],
    person: str,
    session: str,
    nested_in: Sequence[str] = (),
    means: str = "session",
    growth: str | None = None,
    covariates: str | None = None,
    reml: bool = True,
) -> SeveralOutcomes:
    """Fit several outcomes together and split their correlations among the levels.

    Parameters
    ----------
    data
        Long table, one row per person and session; any rating may be missing; not changed.
    outcomes
        Two or more numeric columns.
    person, session, nested_in
        As in :func:`cross_lagged`.
    means
        ``"session"``: a mean for each session and outcome. ``"linear"``: intercept and slope.
    growth
        ``"linear"`` gives each person individual slopes, correlated with one another and with
        the intercepts (correlated growth); the intercepts are at the first session.
    covariates
        Fixed effects on the level of every outcome, as a formula's right-hand side.
    reml
        Restricted maximum likelihood (the means are free of the covariances' parameters here); it
        takes two to three times as long as maximum likelihood, both in proportion to sessions.

    Returns
    -------
    SeveralOutcomes
        ``tidy()`` has the correlations within persons, between persons, families, therapists.

    Raises
    ------
    DataError, NotIdentifiedError
        As :func:`cross_lagged`; fewer than two outcomes.

    Notes
    -----
    ``z_is = mu_s + b_i (+ family + therapist) + e_is`` with unstructured K x K covariances at each
    level, of b and of e; e does not carry over from session to session (see :func:`cross_lagged`
    for outcomes that do).

    Examples
    --------
    >>> from alliance_stats import example_study
    >>> from alliance_stats.panel import several_outcomes
    >>> found = several_outcomes(
    ...     example_study().sessions, outcomes=["alliance", "symptoms"], person="person",
    ...     session="session", nested_in=["family", "therapist"], means="linear",
    ... )
    >>> found.tidy()["level"].tolist()
    ['within person', 'person', 'family', 'therapist']
    """
    check_choice(means, ("session", "linear"), name="means")
    if growth is not None:
        check_choice(growth, ("linear",), name="growth")
    table = read_sessions(
        data, outcomes=outcomes, person=person, session=session, nested_in=nested_in,
        covariates=covariates, means=means, fewest=2 if growth is None else 3,
    )  # fmt: skip
    if len(table.outcomes) < 2:
        raise NotIdentifiedError(
            "One outcome has nothing to go together with; name two or more, or fit it by lmm."
        )
    options = LagOptions(means=means, trends=growth, lagged=False, reml=reml)
    return SeveralOutcomes(fit_model(table, options))
