"""How a pooled estimate depends on single effects, on small studies and on clusters."""

import numpy as np
import pandas as pd

from alliance_stats.checks import (
    check_choice,
    check_conf_level,
    check_spelling,
    group_codes,
)
from alliance_stats.engine.sandwich import cr2
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import two_sided_p, wald_interval
from alliance_stats.evidence.meta.meta_analysis import fit_effects, marginal
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.evidence.meta.pooling import fit_gls, reml

__all__ = ["funnel_asymmetry", "leave_one_out", "robust_tests"]


def leave_one_out(
    model: MetaAnalysis, *, conf_level: float = 0.95, on: str = "fitted"
) -> pd.DataFrame:
    """Fit again without each effect in turn.

    Returns
    -------
    DataFrame
        A row for each effect left out, indexed as the data: ``label`` (where given), the columns of
        ``tidy()`` without ``term``, then ``tau2, i_squared, q, q_p``.

    Raises
    ------
    NotIdentifiedError
        For a meta-regression, or if too few effects are left.
    """
    if not model.is_pooled:
        raise NotIdentifiedError("Leaving one out needs a pooled estimate, without moderators.")
    rows = []
    for position in range(len(model.effects.y)):
        again = fit_effects(model.effects.without(position), model.estimator, model.test)
        told = again.glance().iloc[0][["tau2", "i_squared", "q", "q_p"]]
        rows.append({**again.tidy(conf_level=conf_level, on=on).iloc[0], **told})
    frame = pd.DataFrame(rows, index=model.effects.index).drop(columns="term")
    if model.effects.labels:
        frame.insert(0, "label", model.effects.labels)
    return frame


def funnel_asymmetry(
    model: MetaAnalysis, *, method: str = "egger", conf_level: float = 0.95
) -> pd.DataFrame:
    """Test whether effects go with their standard errors, as they do when small ones are missing.

    Parameters
    ----------
    model
        A meta-analysis at two levels, with or without moderators.
    method
        ``"egger"``: weighted regression on the standard error with multiplicative dispersion
        (Egger et al. 1997, doi:10.1136/bmj.315.7109.629). ``"mixed"``: random effects by REML with
        the standard error as a moderator (Sterne & Egger 2005, doi:10.1002/0470870168.ch6).
    conf_level
        Of the interval of the limit.

    Returns
    -------
    DataFrame
        One row: ``method, estimate`` (slope on the standard error), ``std_error, statistic, df,
        p_value``, and ``limit, limit_low, limit_high``: the estimate where the standard error
        is zero (NaN with moderators).

    Raises
    ------
    NotIdentifiedError
        If there are too few effects, or all have the same standard error.
    """
    check_choice(method, ("egger", "mixed"), name="method")
    check_conf_level(conf_level)
    effects = model.effects
    if effects.studies is not None:
        raise NotIdentifiedError(
            "Effects of one study are not independent points of a funnel; fit without study=, or "
            "use the standard error as a moderator and robust_tests()."
        )
    y, v, se = effects.y, effects.v, np.sqrt(effects.v)
    X = np.column_stack([effects.X, se])
    k, p = X.shape
    if np.linalg.matrix_rank(X) < p:
        raise NotIdentifiedError("All effects have the same standard error: there is no funnel.")
    if k <= p:
        raise NotIdentifiedError(
            f"{k} effects are too few to regress them on their standard error."
        )
    if method == "egger":
        fit = fit_gls(y, X, v)
        vcov, df = fit.vcov * fit.quadratic / (k - p), float(k - p)
    else:
        fit = fit_gls(y, X, v + reml(y, v, X))
        vcov, df = fit.vcov, np.inf
    std_error = np.sqrt(np.diag(vcov))
    statistic = fit.beta[-1] / std_error[-1]
    low, high = wald_interval(fit.beta[0], std_error[0], df=df, conf_level=conf_level)
    limit = (fit.beta[0], float(low), float(high)) if model.is_pooled else (np.nan,) * 3
    return pd.DataFrame(
        [
            {
                "method": method,
                "estimate": fit.beta[-1],
                "std_error": std_error[-1],
                "statistic": statistic,
                "df": df,
                "p_value": float(two_sided_p(statistic, df=df)),
                **dict(zip(("limit", "limit_low", "limit_high"), limit, strict=True)),
            }
        ]
    )


def robust_tests(
    model: MetaAnalysis, *, cluster: pd.Series | None = None, conf_level: float = 0.95
) -> pd.DataFrame:
    """Test the coefficients with CR2 standard errors, clustered by study.

    Parameters
    ----------
    model
        Any meta-analysis.
    cluster
        Which effects belong together, indexed as the data; the studies of a three-level model
        where none is given.
    conf_level
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        As ``tidy()``: ``term, estimate, std_error, statistic, df`` (Satterthwaite), ``p_value,
        conf_low, conf_high``.

    Raises
    ------
    DataError
        If `cluster` is missing for an effect, or parts a study.
    NotIdentifiedError
        If there are fewer than two clusters, or none is given for a two-level model.

    Notes
    -----
    The bias-reduced estimator of Pustejovsky & Tipton (2018, doi:10.1080/07350015.2016.1247004)
    with the model's marginal covariance as working covariance: the estimator would be unbiased if
    that were true, and the standard errors stay right if it is not.
    """
    codes = _clusters(model, cluster)
    effects, M = model.effects, marginal(model.effects, model.components)
    M = np.diag(M) if M.ndim == 1 else M
    parts = [np.flatnonzero(codes == c) for c in range(int(codes.max()) + 1)]
    robust = cr2(
        [effects.X[own] for own in parts],
        [model.fit.residual[own] for own in parts],
        [M[np.ix_(own, own)] for own in parts],
    )
    std_error = np.sqrt(np.diag(robust.vcov))
    df = robust.df(np.eye(len(std_error)))
    low, high = wald_interval(model.fit.beta, std_error, df=df, conf_level=conf_level)
    statistic = model.fit.beta / std_error
    return pd.DataFrame(
        {
            "term": effects.terms,
            "estimate": model.fit.beta,
            "std_error": std_error,
            "statistic": statistic,
            "df": df,
            "p_value": two_sided_p(statistic, df=df),
            "conf_low": low,
            "conf_high": high,
        }
    )


def _clusters(model: MetaAnalysis, cluster: pd.Series | None) -> np.ndarray:
    studies = model.effects.studies
    if cluster is None:
        if studies is None:
            raise NotIdentifiedError(
                "A two-level model has no studies to cluster by; give cluster=data['study']."
            )
        codes = studies
    else:
        if not isinstance(cluster, pd.Series):
            raise DataError(
                f"cluster must be a Series indexed as the data, as data['study']; got "
                f"{type(cluster).__name__}."
            )
        missing = model.effects.index.difference(cluster.dropna().index)
        if len(missing):
            shown = ", ".join(map(str, missing[:5]))
            raise DataError(f"cluster has no value for the effects in rows {shown}.")
        check_spelling(cluster.loc[model.effects.index], kind="cluster")
        codes, _ = group_codes(cluster.loc[model.effects.index])
    if (
        studies is not None
        and pd.DataFrame({"s": studies, "c": codes}).groupby("s")["c"].nunique().max() > 1
    ):
        raise DataError("A study has effects in several clusters; clusters must contain studies.")
    if codes.max() < 1:
        raise NotIdentifiedError("CR2 needs at least two clusters; there is one.")
    return codes
