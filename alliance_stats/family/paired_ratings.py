"""Two ratings per pair in one likelihood, with a level above the pairs: the basis of dyadic models.

The pair is the unit of the engine's model of several outcomes, its two ratings are the outcomes of
one session: unstructured within the pair (or equal for both), random effects above.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.checks import check_choice
from alliance_stats.design.coding import independent_columns
from alliance_stats.engine.degrees_of_freedom import Satterthwaite
from alliance_stats.engine.lag_model import FittedLags, fit_model
from alliance_stats.engine.lag_parameters import LagOptions, squares, take
from alliance_stats.engine.lag_table import LagArrays
from alliance_stats.engine.stacked_levels import Level
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import (
    Array,
    Booleans,
    Coefficients,
    Integers,
    named_covariance,
    one_line,
)
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LikelihoodRatioTest, tidy_frame

__all__ = ["PairedModel", "Pairs", "fit_pairs", "ratio_test"]


# Of an outcome's spread, what must be left by the predictors for there to be anything to model.
EXACT = 1e-9
# A correlation so near to 1 or -1 says that two ratings determine one another.
DETERMINED = 1e-8
# A rise of the log-likelihood relatively smaller than this is none: searches end within it.
DUST = 1e-9


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pairs:
    """The ratings of N pairs and what explains them.

    Attributes
    ----------
    y
        Both sides' ratings, NaN where one is not used: (2, N).
    columns
        p columns with one coefficient each: (p, 2, N); ignored where `y` is NaN.
    terms
        Names of the coefficients.
    sides
        Names of the two sides; empty where they are indistinguishable.
    above, units
        The level above pairs, if any, and each pair's unit as a number: (N,).
    effects
        Names of its random effects: one for both sides, or one each.
    rows
        Ledger of the rows used and set aside.
    """

    y: Array
    columns: Array
    terms: tuple[str, ...]
    sides: tuple[str, ...]
    above: str | None
    units: Integers
    effects: tuple[str, ...]
    rows: RowLedger

    __repr__ = one_line

    @property
    def undetermined(self) -> tuple[str, ...]:
        """Terms whose columns others determine."""
        X = self.columns[:, np.isfinite(self.y)].T
        kept = set(independent_columns(X).tolist())
        return tuple(term for i, term in enumerate(self.terms) if i not in kept)

    @property
    def one_unit(self) -> bool:
        """Whether both sides have a parameter in common, and thus a unit of measurement."""
        return not self.sides or (self.above is not None and len(self.effects) == 1)


_SAID = {"client_rates": "clients' ratings", "therapist_rates": "therapists' ratings"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PairedModel:
    """A fitted model of two ratings per pair.

    Attributes
    ----------
    pairs
        The data it was fitted to.
    fitted
        The fit of the least-squares residuals, on orthonormal columns, in units of `unit`.
    least_squares, to_given
        The coefficients of least squares on those columns, and the matrix from their coefficients
        to those of the given columns.
    unit
        What each side's ratings were divided by: (2,).
    """

    pairs: Pairs
    fitted: FittedLags[LagArrays]
    least_squares: Array
    to_given: Array
    unit: Array

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Ledger of the rows used and set aside."""
        return self.pairs.rows

    @property
    def nobs(self) -> int:
        """Ratings used."""
        return int(np.isfinite(self.pairs.y).sum())

    @property
    def reml(self) -> bool:
        """Whether variances were estimated by restricted maximum likelihood."""
        return self.fitted.options.reml

    @property
    def log_lik(self) -> float:
        """Log-likelihood (restricted where `reml` is true)."""
        seen = np.isfinite(self.pairs.y).sum(axis=1)
        found = self.fitted.log_lik - float(seen @ np.log(self.unit))
        return found + (np.linalg.slogdet(self.to_given)[1] if self.reml else 0.0)

    @property
    def beta(self) -> pd.Series:
        """Coefficients."""
        own = self.least_squares + self.fitted.coefficients[0, ::2, 0]
        return pd.Series(self.to_given @ own, index=list(self.pairs.terms), name="estimate")

    @property
    def within(self) -> Array:
        """Covariance of the two ratings of a pair, given its unit above: (2, 2)."""
        index = self.fitted.parameters.innovation[0, 0]
        return self._in_units(squares(take(self.fitted.theta[None], index))[0])

    @property
    def between(self) -> Array:
        """Covariance of the effects of the level above on either side's ratings: (2, 2)."""
        if self.pairs.above is None:
            return np.zeros((2, 2))
        index = self.fitted.parameters.above[0]
        return self._in_units(squares(take(self.fitted.theta[None], index))[0])

    def _in_units(self, covariance: Array) -> Array:
        return np.asarray(covariance * np.outer(self.unit, self.unit))

    @property
    def correlation(self) -> float:
        """Correlation of the two ratings within a pair, -1 to 1."""
        return _sds_and_correlation(self.within)[1]

    @property
    def rank(self) -> int:
        """Number of directions in which the units above vary."""
        sd = np.sqrt(np.diag(self.within))
        return int(np.linalg.matrix_rank(self.between / np.outer(sd, sd), tol=1e-8, hermitian=True))

    @property
    def singular(self) -> bool:
        """Whether a variance or a correlation is on its boundary."""
        wanted = len(self.pairs.effects) if self.pairs.above is not None else 0
        return self.rank < wanted

    @property
    def converged(self) -> bool:
        """Whether the likelihood was flat at the end of the search."""
        return self.fitted.fit.converged

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients, ``(X'V^-1X)^-1``."""
        covariance = self.fitted.small_sample()[0] * self.fitted.sd[0] ** 2
        return named_covariance(self.to_given @ covariance @ self.to_given.T, self.pairs.terms)

    def tidy(
        self,
        *,
        effects: Literal["fixed", "ran_pars"] = "fixed",
        df_method: Literal["satterthwaite", "normal"] = "satterthwaite",
        conf_level: float = 0.95,
    ) -> pd.DataFrame:
        """Return one row per estimate: coefficients (``fixed``), or SDs and correlations."""
        check_choice(effects, ("fixed", "ran_pars"), name="effects")
        check_choice(df_method, ("satterthwaite", "normal"), name="df_method")
        if effects == "ran_pars":
            return self._ran_pars()
        df: Array | float = np.inf
        if df_method == "satterthwaite":
            df = Satterthwaite(*self.fitted.small_sample()).df(self.to_given)
        found = Coefficients(self.pairs.terms, self.beta.to_numpy(), self.vcov().to_numpy(), df)
        table = found.table(conf_level=conf_level)
        return tidy_frame("fixed", table)

    def _ran_pars(self) -> pd.DataFrame:
        """Return SDs and correlations: of the level above, then within pairs."""
        pairs = self.pairs
        found: list[tuple[str, str | None, str, float]] = []
        if pairs.above is not None:
            sd, r = _sds_and_correlation(self.between)
            for effect, own in zip(pairs.effects, sd, strict=False):
                found.append((pairs.above, None, f"sd__{effect}", own))
            if len(pairs.effects) == 2:
                found.append((pairs.above, None, "cor__" + ".".join(pairs.effects), r))
        sd, r = _sds_and_correlation(self.within)
        for side, own in zip(pairs.sides or (None,), sd, strict=False):
            found.append(("Residual", side, "sd__Observation", own))
        found.append(("Residual", None, "cor__" + ".".join(pairs.sides or ("one", "other")), r))
        group, level, term, estimate = map(list, zip(*found, strict=True))
        return tidy_frame(
            "ran_pars", {"group": group, "level": level, "term": term, "estimate": estimate}
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: sizes, fit statistics, convergence; ``sigma`` is the first side's SD."""
        deviance, k = -2.0 * self.log_lik, self.fitted.n_parameters
        row: dict[str, object] = {"nobs": self.nobs}
        if self.pairs.above is not None:
            row[f"n_{self.pairs.above}"] = int(self.pairs.units.max()) + 1
        row |= {
            "sigma": float(np.sqrt(self.within[0, 0])),
            "log_lik": self.log_lik,
            "deviance": deviance,
            "aic": deviance + 2.0 * k,
            "bic": deviance + np.log(self.nobs) * k,
            "n_parameters": k,
            "reml": self.reml,
            "converged": self.converged,
            "singular": self.singular,
            "n_dyads": self.pairs.y.shape[1],
        }
        return pd.DataFrame([row])

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know first."""
        found = []
        if not self.converged:
            found.append(
                "NOT CONVERGED: the search stopped where the likelihood was not flat; do not use "
                "these numbers."
            )
        if self.singular:
            names, rank = ", ".join(_SAID.get(e, e) for e in self.pairs.effects), self.rank
            what = f"the {len(self.pairs.effects)} random effects {names} of '{self.pairs.above}' "
            what += "vary in 1 direction only (a correlation is at -1 or +1, or a variance at zero)"
            if rank == 0:
                many = "the variances are" if len(self.pairs.effects) > 1 else "the variance is"
                what = f"{many} zero for {names} of '{self.pairs.above}'"
            found.append(
                f"Boundary (singular) fit: {what}. Standard errors and df (Satterthwaite) are "
                "those of the model without it."
            )
        return tuple(found)

    def refit(self, y: Array | None = None, *, reml: bool | None = None) -> "PairedModel":
        """Fit the same model to other ratings (2, N), or by the other likelihood."""
        pairs = self.pairs if y is None else replace(self.pairs, y=y)
        options = self.fitted.options
        return fit_pairs(
            pairs, reml=options.reml if reml is None else reml, uncorrelated=options.uncorrelated
        )

    def simulate(self, rng: np.random.Generator) -> Array:
        """Draw new ratings for the pairs, new units above: (2, N), NaN where there were none."""
        y = np.einsum("p,pkn->kn", self.beta.to_numpy(), self.pairs.columns)
        if self.pairs.above is not None:
            half = _half(self.between)[:, : len(self.pairs.effects)]
            drawn = rng.standard_normal((half.shape[1], int(self.pairs.units.max()) + 1))
            y = y - (half @ drawn)[:, self.pairs.units]
        seen = np.isfinite(self.pairs.y)
        noise = np.zeros(seen.shape)
        noise[seen] = rng.standard_normal(int(seen.sum()))
        half, sd = _half(self.within), np.sqrt(np.diag(self.within))
        alone = ~seen[0]
        noise[1] = np.where(alone, sd[1] * noise[1], half[1] @ noise)
        noise[0] *= sd[0]
        return np.where(seen, y + noise, np.nan)


def _sds_and_correlation(S: Array) -> tuple[list[float], float]:
    sd = np.sqrt(np.diag(S))
    scale = float(sd[0] * sd[1])
    return sd.tolist(), float(S[0, 1]) / scale if scale > 0.0 else np.nan


def _half(S: Array) -> Array:
    """Return the lower Cholesky factor of a (2, 2) covariance that may be singular."""
    first = np.sqrt(S[0, 0])
    beside = S[1, 0] / first if first > 0.0 else 0.0
    return np.array([[first, 0.0], [beside, np.sqrt(max(S[1, 1] - beside**2, 0.0))]])


def fit_pairs(pairs: Pairs, *, reml: bool, uncorrelated: tuple[int, ...] = ()) -> PairedModel:
    """Fit by (restricted) maximum likelihood.

    Parameters
    ----------
    uncorrelated
        Where the two sides are uncorrelated: 0 within pairs, 1 at the level above.

    Raises
    ------
    NotIdentifiedError
        A side that its predictors determine, pairs whose ratings determine one another, a level
        above with one unit or one pair per unit.
    """
    seen = np.isfinite(pairs.y)
    _check_both_rated(pairs, seen)
    _check_units(pairs)
    left = np.where(seen, pairs.y, 0.0)
    raw = pairs.columns * seen
    unit = _units(pairs, seen)
    X = (raw / unit[:, None])[:, seen].T
    Q, R = np.linalg.qr(X)
    n = len(X)
    Q, R = Q * np.sqrt(n), R / np.sqrt(n)
    y = (left / unit[:, None])[seen]
    least_squares = Q.T @ y / n
    table = _arrays(pairs, seen, Q, y - Q @ least_squares)
    p = X.shape[1]
    ties = [(c if j == k else -1) for c in range(p) for k in (0, 1) for j in (0, 1)]
    options = LagOptions(
        means="none", lagged=False, persons=False, reml=reml, tied=tuple(ties),
        alike=not pairs.sides, shared=pairs.above is not None and len(pairs.effects) == 1,
        uncorrelated=uncorrelated,
    )  # fmt: skip
    try:
        fitted = fit_model(table, options)
    except np.linalg.LinAlgError as error:  # the search ran to where a covariance is singular
        raise _determined(pairs) from error
    model = PairedModel(pairs, fitted, least_squares, np.linalg.inv(R), unit)
    if abs(model.correlation) > 1.0 - DETERMINED:
        raise _determined(pairs)
    return model


def _determined(pairs: Pairs) -> NotIdentifiedError:
    n = int(np.isfinite(pairs.y).all(axis=0).sum())
    return NotIdentifiedError(
        f"In {plural(n, 'pair')} with both ratings, what the predictors leave of one determines "
        "the other (a correlation of 1 or -1), so that the likelihood has no maximum. There are "
        "too few pairs for the model, or one rating was computed from the other."
    )


def _units(pairs: Pairs, seen: Booleans) -> Array:
    """Return each side's residual SD by least squares: (2,); of both together if they share one."""
    sides = [(0, 1)] if pairs.one_unit else [(0,), (1,)]
    unit = np.ones(2)
    for side in sides:
        own = seen & np.isin(np.arange(2), side)[:, None]
        X, y = pairs.columns[:, own].T, pairs.y[own]
        X = X[:, independent_columns(X)]
        residual = y - X @ np.linalg.lstsq(X, y)[0]
        free = len(y) - X.shape[1]
        size = float(np.sqrt(residual @ residual / max(free, 1)))
        if free < 1 or size <= EXACT * max(float(np.abs(y).max()), 1e-300):
            which = f" of '{pairs.sides[side[0]]}'" if len(side) == 1 and pairs.sides else ""
            raise NotIdentifiedError(
                f"The means and predictors leave nothing of the {len(y)} ratings{which} to "
                f"{X.shape[1]} coefficients: no variance can be estimated. The ratings are all "
                "alike, follow from a predictor, or are too few."
            )
        unit[list(side)] = size
    return unit


def _check_both_rated(pairs: Pairs, seen: Booleans) -> None:
    """Refuse a side without ratings, and sides that are never rated together."""
    for side, n in zip(pairs.sides, seen.sum(axis=1), strict=False):
        if n == 0:
            raise NotIdentifiedError(f"No rating of '{side}' can be used: {pairs.rows}")
    both = int(seen.all(axis=0).sum())
    if both < 2:
        raise NotIdentifiedError(
            f"Both ratings can be used in {plural(both, 'pair')}: how they go together cannot be "
            f"estimated. {pairs.rows}"
        )


def _check_units(pairs: Pairs) -> None:
    """Refuse a level above that is not separable from pairs."""
    if pairs.above is None:
        return
    n = np.bincount(pairs.units)
    if len(n) == 1:
        raise NotIdentifiedError(
            f"All pairs are of one '{pairs.above}': a variance between units cannot be estimated. "
            "Leave it out."
        )
    if n.max() == 1:
        raise NotIdentifiedError(
            f"Each '{pairs.above}' has one pair, so that what pairs share and what they owe to "
            f"the {pairs.above} cannot be told apart. Leave it out."
        )


def _arrays(pairs: Pairs, seen: Booleans, Q: Array, residual: Array) -> LagArrays:
    """Arrange orthonormal columns and residuals as one session of two outcomes."""
    p, N = Q.shape[1], seen.shape[1]
    y = np.full((2, N), np.nan)
    y[seen] = residual
    columns = np.zeros((p, 2, N))
    columns[:, seen] = Q.T
    levels = () if pairs.above is None else (Level.from_codes(pairs.units),)
    return LagArrays(y[None], columns.reshape(1, 2 * p, N), np.zeros(N, dtype=np.int64), levels)


def ratio_test(
    small: PairedModel, large: PairedModel, words: tuple[str, str]
) -> LikelihoodRatioTest:
    """Test a model against a larger one; `words` name the two.

    Fits whose fixed effects differ are compared by maximum likelihood.
    """
    refitted = small.pairs.terms != large.pairs.terms and large.reml
    if refitted:
        small, large = (model.refit(reml=False) for model in (small, large))
    statistic = 2.0 * (large.log_lik - small.log_lik)
    if statistic <= DUST * max(1.0, abs(2.0 * small.log_lik)):
        statistic = 0.0
    df = large.fitted.n_parameters - small.fitted.n_parameters
    return LikelihoodRatioTest(
        *words, statistic, df, float(stats.chi2.sf(statistic, df)), f"chi-squared with {df} df",
        refitted, np.empty(0), large.rows,
    )  # fmt: skip
