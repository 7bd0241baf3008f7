"""Results of a meta-analysis."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Phrase, Section, html_of, summary_of
from alliance_stats.checks import check_choice, check_conf_level, check_frame, require_columns
from alliance_stats.design.rows import columns_as_read
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, named_covariance, one_line, wald_interval
from alliance_stats.evidence.meta.sampled_effects import (
    ESTIMATORS,
    Effects,
    Gls,
    fit_gls,
    profile_interval,
    typical_variance,
)
from alliance_stats.formatting import p_phrase
from alliance_stats.ledger import RowLedger
from alliance_stats.renaming import renamed

__all__ = ["MetaAnalysis"]

_SCALES = ("fitted", "r")
_TESTS = {
    "knapp-hartung": "tests by Knapp and Hartung",
    "knapp-hartung-adhoc": "tests by Knapp and Hartung, never narrower than normal ones",
    "t": "t tests",
    "normal": "normal tests",
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MetaAnalysis:
    """Pooled estimates, and the heterogeneity of the effects.

    Attributes
    ----------
    effects
        What was pooled.
    estimator, test
        As requested (`method` and `test` of :func:`meta_analysis`).
    components
        Variance between effects (``"effect"``) and, with three levels, between studies
        (``"study"``), on the squared scale of the estimates.
    fit
        The generalised least-squares fit at these variances.
    factor
        Multiplier of the coefficients' covariance (Knapp-Hartung; else 1).
    converged
        Whether the variances' criterion was flat at the end of the search.
    """

    effects: Effects
    estimator: str
    test: str
    components: Mapping[str, float]
    fit: Gls
    factor: float
    converged: bool

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """What happened to the rows of the frame."""
        return self.effects.rows

    @property
    def tau2(self) -> float:
        """Total variance between true effects, over all levels."""
        return float(sum(self.components.values()))

    @property
    def df(self) -> float:
        """Degrees of freedom of the coefficients' tests; infinite where they are normal."""
        k, p = self.effects.X.shape
        return np.inf if self.test == "normal" else float(k - p)

    @property
    def is_pooled(self) -> bool:
        """Whether the model has only an intercept, so that there is one pooled estimate."""
        return self.effects.terms == ("(Intercept)",)

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients, labelled by term."""
        return named_covariance(self._covariance, self.effects.terms)

    @property
    def _covariance(self) -> Array:
        return np.asarray(self.factor * self.fit.vcov)

    @renamed(on="scale")
    def tidy(self, *, conf_level: float = 0.95, scale: str = "fitted") -> pd.DataFrame:
        """Return one row per coefficient.

        Parameters
        ----------
        conf_level
            Coverage of the intervals.
        scale
            ``"fitted"``: the scale that was pooled. ``"r"``: a pooled Fisher z back-transformed to
            a correlation; ``std_error`` is then NaN, as the interval is not symmetric.

        Returns
        -------
        DataFrame
            ``term, estimate, std_error, statistic, df, p_value, conf_low, conf_high``. A pooled
            estimate has the term ``(Intercept)``.
        """
        found = Coefficients(self.effects.terms, self.fit.beta, self._covariance, self.df)
        return self._turned_back(found.table(conf_level=conf_level), scale)

    @renamed(on="scale")
    def prediction(self, *, conf_level: float = 0.95, scale: str = "fitted") -> pd.DataFrame:
        """Return the interval in which the true effect of a new study is expected.

        ``estimate -+ q sqrt(SE^2 + tau2)``, q normal or t on the model's df as for the interval
        of the estimate (Higgins, Thompson & Spiegelhalter 2009,
        doi:10.1111/j.1467-985X.2008.00552.x, take k - 2). With three levels, the new effect is from
        a new study.

        Returns
        -------
        DataFrame
            One row: ``estimate, conf_low, conf_high``.

        Raises
        ------
        NotIdentifiedError
            For a meta-regression, which has no single pooled estimate, and for fixed effects.
        """
        self._require_pooled("A prediction interval")
        if self.estimator == "fixed":
            raise NotIdentifiedError("A fixed-effect model has no effects of other studies.")
        spread = np.sqrt(self._covariance[0, 0] + self.tau2)
        low, high = wald_interval(self.fit.beta, spread, df=self.df, conf_level=conf_level)
        frame = pd.DataFrame({"estimate": self.fit.beta, "conf_low": low, "conf_high": high})
        return self._turned_back(frame, scale)

    def predict(
        self,
        newdata: pd.DataFrame,
        *,
        interval: Literal["confidence", "prediction"] = "confidence",
        conf_level: float = 0.95,
        scale: str = "fitted",
    ) -> pd.DataFrame:
        """Return the mean effect of studies with given moderators.

        Parameters
        ----------
        newdata
            A row for each set of moderators; without moderators any rows.
        interval
            ``"confidence"``: of the mean effect. ``"prediction"``: in which the true effect of a
            new study is expected, as by :meth:`prediction`.
        conf_level, scale
            As in :meth:`tidy`.

        Returns
        -------
        DataFrame
            ``estimate, std_error, conf_low, conf_high`` under the rows' own labels.

        Raises
        ------
        NotIdentifiedError
            A prediction interval of fixed effects.
        """
        check_choice(interval, ("confidence", "prediction"), name="interval")
        if interval == "prediction" and self.estimator == "fixed":
            raise NotIdentifiedError("A fixed-effect model has no effects of other studies.")
        newdata, coding = check_frame(newdata, what="newdata"), self.effects.coding
        if coding is None:
            raise DataError(
                "This result was saved by a version that did not keep how moderators are coded. "
                "Fit it anew to predict."
            )
        require_columns(newdata, list(coding.variables), what="newdata")
        X = coding.columns(columns_as_read(newdata, list(coding.variables)))
        estimate = X @ self.fit.beta
        variance = np.einsum("np,pq,nq->n", X, self._covariance, X)
        error = np.sqrt(variance)
        spread = np.sqrt(variance + self.tau2) if interval == "prediction" else error
        low, high = wald_interval(estimate, spread, df=self.df, conf_level=conf_level)
        frame = pd.DataFrame(
            {"estimate": estimate, "std_error": error, "conf_low": low, "conf_high": high},
            index=newdata.index,
        )
        return self._turned_back(frame, scale, pooled=False)

    def heterogeneity(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return how much the true effects differ, level by level.

        Returns
        -------
        DataFrame
            ``level`` (effect; study and total with three levels), ``tau2`` with ``tau2_low`` and
            ``tau2_high`` (Q-profile, two levels only; NaN where the set is empty or with three
            levels), ``tau`` and ``i_squared`` (per cent of the variance of a typical estimate:
            ``100 tau2 / (tau2 + typical sampling variance)``).
        """
        check_conf_level(conf_level)
        effects = self.effects
        typical = self._typical()
        low, high = np.nan, np.nan
        if effects.studies is None and self.estimator != "fixed":
            low, high = profile_interval(effects.y, effects.v, effects.X, conf_level)
        parts = dict(self.components)
        if len(parts) > 1:
            parts["total"] = self.tau2
        return pd.DataFrame(
            [
                {
                    "level": level,
                    "tau2": tau2,
                    "tau2_low": low,
                    "tau2_high": high,
                    "tau": np.sqrt(tau2),
                    "i_squared": 100.0 * tau2 / (self.tau2 + typical),
                }
                for level, tau2 in parts.items()
            ]
        )

    def glance(self) -> pd.DataFrame:
        """Return one row about the fit.

        Returns
        -------
        DataFrame
            ``nobs, n_studies`` (NaN without `study`), ``method, test, tau2`` (total), ``i_squared``
            (per cent), ``h_squared, q, q_df, q_p`` (Cochran's Q of the residuals), ``qm, qm_df1,
            qm_df2, qm_p`` (all moderators together: F, or chi-squared with infinite ``qm_df2``;
            NaN without), ``r_squared`` (per cent of tau2 that the moderators account for, 0 where
            they leave more unexplained; NaN without moderators and with three levels), ``log_lik``
            (restricted for REML, as in metafor with ``log|X'X|/2``), ``aic, bic, converged``.
        """
        q, q_df, q_p = self._cochran()
        k, p = self.effects.X.shape
        restricted = self.estimator == "REML"
        log_lik = self.fit.log_likelihood(self.effects.X, restricted=restricted)
        parameters = p + (0 if self.estimator == "fixed" else len(self.components))
        n_studies = len(self.effects.study_labels) or np.nan
        i_squared, h_squared = self._shares(q, q_df)
        return pd.DataFrame(
            [
                {
                    "nobs": k,
                    "n_studies": n_studies,
                    "method": self.estimator,
                    "test": self.test,
                    "tau2": self.tau2,
                    "i_squared": i_squared,
                    "h_squared": h_squared,
                    "q": q,
                    "q_df": q_df,
                    "q_p": q_p,
                    **self._moderators(),
                    "r_squared": self._explained(),
                    "log_lik": log_lik,
                    "aic": -2.0 * log_lik + 2.0 * parameters,
                    "bic": -2.0 * log_lik + parameters * np.log(k - p if restricted else k),
                    "converged": self.converged,
                }
            ]
        )

    @renamed(on="scale")
    def augment(self, *, conf_level: float = 0.95, scale: str = "fitted") -> pd.DataFrame:
        """Return one row per effect, as a forest plot shows them.

        Returns
        -------
        DataFrame
            Indexed as the data: ``label`` (where given), ``study`` (with three levels),
            ``estimate, std_error`` (from the sampling variance; NaN on r), ``conf_low, conf_high,
            fitted, residual`` and ``weight`` (per cent of the sum of inverse marginal variances).
        """
        effects = self.effects
        own = effects.v + self.tau2
        root = np.sqrt(effects.v)
        low, high = wald_interval(effects.y, root, conf_level=conf_level)
        frame = pd.DataFrame(
            {
                "estimate": effects.y,
                "std_error": root,
                "conf_low": low,
                "conf_high": high,
                "fitted": effects.X @ self.fit.beta,
                "residual": self.fit.residual,
                "weight": 100.0 / own / (1.0 / own).sum(),
            },
            index=effects.index,
        )
        if effects.studies is not None:
            frame.insert(0, "study", np.array(effects.study_labels, dtype=object)[effects.studies])
        if effects.labels:
            frame.insert(0, "label", effects.labels)
        return self._turned_back(frame, scale)

    @property
    def method(self) -> str:
        """The method of computation, in a phrase."""
        kind = "meta-regression" if not self.is_pooled else "meta-analysis"
        if self.effects.studies is not None:
            return f"three-level {kind} (REML), {_TESTS[self.test]}"
        if self.estimator == "fixed":
            return f"fixed-effect {kind}, {_TESTS[self.test]}"
        return f"random-effects {kind} ({self.estimator}), {_TESTS[self.test]}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Cautions for the reader, most serious first."""
        found = []
        if not self.converged:
            found.append("WARNING: the search for the variances did not end in a flat place.")
        zero = [level for level, tau2 in self.components.items() if tau2 == 0.0]
        if zero and self.estimator != "fixed":
            found.append(f"The variance at level {' and '.join(zero)} is at zero.")
        if self.test == "knapp-hartung" and self.factor < 1.0:
            found.append(
                "The Knapp-Hartung standard errors are smaller than the model's own; "
                "test='knapp-hartung-adhoc' keeps them from being so."
            )
        return tuple(found)

    @property
    def _on_scale(self) -> str:
        return "Fisher's z" if self.effects.measure == "fisher_z" else "estimate"

    def _expected(self, conf_level: float) -> Iterator[Section]:
        """Yield what a new effect may be, and of correlations both that and the mean as r."""
        if not self.is_pooled:
            return
        turned_back = self.effects.measure == "fisher_z"
        for on in ("fitted", *(("r",) if turned_back else ())):
            rows = {} if on == "fitted" else {"pooled": self.tidy(conf_level=conf_level, scale=on)}
            if self.estimator != "fixed":
                rows["a new effect"] = self.prediction(conf_level=conf_level, scale=on)
            limits = ["estimate", "conf_low", "conf_high"]
            parts = [part[limits].assign(of=of) for of, part in rows.items()]
            if parts:
                yield Section(
                    "As a correlation" if on == "r" else "Expected",
                    pd.concat(parts, ignore_index=True),
                    names=("of",),
                    measure="r" if on == "r" else self._on_scale,
                    kind="bounded" if on == "r" else "number",
                    conf_level=conf_level,
                )

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return what was found as data."""
        own = Section(
            "Coefficient",
            self.tidy(conf_level=conf_level),
            names=("term",),
            measure=self._on_scale,
            conf_level=conf_level,
        )
        sections = [own, *self._expected(conf_level)]
        glance = self.glance().iloc[0]
        sizes = {"estimates": float(glance["nobs"])}
        if self.effects.studies is not None:
            sizes["studies"] = float(glance["n_studies"])
        spread = Phrase(
            "tau2 = {}, I2 = {}%, Q({}) = {}, {}.",
            (
                (self.tau2, 3), (float(glance["i_squared"]), 1), (float(glance["q_df"]), 0),
                (float(glance["q"]), 2), p_phrase(glance["q_p"]),
            ),
        )  # fmt: skip
        levels = () if self.effects.studies is None else ("konstantopoulos2011",)
        return Account.of(
            self,
            sizes,
            sections,
            (spread,),
            sources=("viechtbauer2007", "knapp2003", "higgins2009", *levels),
        )

    summary = summary_of
    _repr_html_ = html_of

    def _cochran(self) -> tuple[float, int, float]:
        k, p = self.effects.X.shape
        q = fit_gls(self.effects.y, self.effects.X, self.effects.v).quadratic
        return q, k - p, float(stats.chi2.sf(q, k - p)) if k > p else np.nan

    def _typical(self) -> float:
        k, p = self.effects.X.shape
        return typical_variance(self.effects.v, self.effects.X) if k > p else np.nan

    def _shares(self, q: float, q_df: int) -> tuple[float, float]:
        if q_df == 0:
            return np.nan, np.nan
        if self.estimator == "fixed":
            return max(0.0, 100.0 * (q - q_df) / q) if q > 0.0 else 0.0, q / q_df
        typical = self._typical()
        return 100.0 * self.tau2 / (self.tau2 + typical), self.tau2 / typical + 1.0

    def _moderators(self) -> dict[str, float]:
        tested = [j for j, term in enumerate(self.effects.terms) if term != "(Intercept)"]
        if not tested:
            return dict.fromkeys(("qm", "qm_df1", "qm_df2", "qm_p"), np.nan)
        beta, covariance = self.fit.beta[tested], self._covariance[np.ix_(tested, tested)]
        wald, m = float(beta @ np.linalg.solve(covariance, beta)), len(tested)
        exact = np.isinf(self.df)
        qm = wald if exact else wald / m
        p_value = float(stats.chi2.sf(qm, m) if exact else stats.f.sf(qm, m, self.df))
        return {"qm": qm, "qm_df1": m, "qm_df2": self.df, "qm_p": p_value}

    def _explained(self) -> float:
        effects = self.effects
        moderated = "(Intercept)" in effects.terms and not self.is_pooled
        if not moderated or effects.studies is not None or self.estimator == "fixed":
            return np.nan
        without = ESTIMATORS[self.estimator](effects.y, effects.v, np.ones((len(effects.y), 1)))
        return max(0.0, 100.0 * (1.0 - self.tau2 / without)) if without > 0.0 else np.nan

    def _turned_back(self, frame: pd.DataFrame, scale: str, *, pooled: bool = True) -> pd.DataFrame:
        """Return correlations where requested: of one pooled estimate, or of predicted rows."""
        check_choice(scale, _SCALES, name="scale")
        if scale == "fitted":
            return frame
        if self.effects.measure != "fisher_z":
            raise NotIdentifiedError(
                "Only a meta-analysis of r= and n= can be turned back into correlations."
            )
        if pooled:
            self._require_pooled("A correlation")
        turned = [c for c in ("estimate", "conf_low", "conf_high", "fitted") if c in frame]
        frame = frame.assign(**{column: np.tanh(frame[column]) for column in turned})
        for column in ("std_error", "residual"):
            if column in frame:
                frame[column] = np.nan
        return frame

    def _require_pooled(self, what: str) -> None:
        if not self.is_pooled:
            raise NotIdentifiedError(
                f"{what} needs one pooled estimate; this model has moderators "
                f"({', '.join(self.effects.terms)})."
            )
