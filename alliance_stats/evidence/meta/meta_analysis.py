"""Meta-analysis: fixed and random effects, effects in studies, meta-regression."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from alliance_stats.arguments import require_kind
from alliance_stats.checks import check_choice, check_conf_level, group_codes
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import Terms, column, formula_of, intercepts
from alliance_stats.engine.sandwich import cr2
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Coefficients, two_sided_p, wald_interval
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.evidence.meta.sampled_effects import (
    ESTIMATORS,
    Columns,
    Effects,
    fit_gls,
    read_effects,
    reml,
)
from alliance_stats.multilevel import fit_linear
from alliance_stats.renaming import renamed
from alliance_stats.spelling import check_spelling

__all__ = ["TESTS", "funnel_asymmetry", "leave_one_study_out", "meta_analysis", "robust_tests"]

_TAKES = "takes a result of meta_analysis"
TESTS = ("knapp-hartung", "knapp-hartung-adhoc", "t", "normal")


def meta_analysis(
    data: pd.DataFrame,
    *,
    estimate: str | None = None,
    variance: str | None = None,
    r: str | None = None,
    n: str | None = None,
    study: str | None = None,
    label: str | None = None,
    moderators: str | None = None,
    method: str = "REML",
    test: str | None = None,
) -> MetaAnalysis:
    """Pool estimates whose sampling variances are known.

    Parameters
    ----------
    data
        One row per estimate. Rows in which a needed column is missing are set aside and counted.
    estimate, variance
        Columns of estimates (on a scale where they are near normal: Fisher's z, d, log odds) and
        of their sampling variances.
    r, n
        Alternatively, columns of correlations and sample sizes. They are pooled on Fisher's z
        scale, with variance ``1/(n - 3)``; ``tidy(scale="r")`` back-transforms the pooled value.
    study
        Column naming the study of each estimate. If given, the model has three levels: estimates
        within a study share its effect (Konstantopoulos 2011, doi:10.1002/jrsm.35).
    label
        Column of labels for the estimates ("Smith 1998"), used in figures and tables, not in the
        model.
    moderators
        Right-hand side of a formula, ``"year + design"``: meta-regression.
    method
        How the variance between effects is estimated: ``"REML"``, ``"DL"`` (DerSimonian & Laird
        1986), ``"PM"`` (Paule & Mandel 1982), or ``"fixed"``: none. With `study`, only REML.
    test
        ``"knapp-hartung"`` (Knapp & Hartung 2003, doi:10.1002/sim.1482; the default with two
        levels), ``"knapp-hartung-adhoc"`` (the same, never narrower than the normal interval),
        ``"t"`` (k - p df; the default with `study`) or ``"normal"`` (the default for fixed
        effects).

    Returns
    -------
    MetaAnalysis

    Raises
    ------
    DataError
        If columns or labels are missing, a column is not numeric, a variance is not above zero,
        ``|r|`` is not below 1, n is not above 3, or neither or both of the pairs of columns are
        given.
    FormulaError
        If the moderators cannot be read.
    NotIdentifiedError
        If there are too few estimates or studies for the model, moderators depend on one another,
        or the model fits all estimates exactly under Knapp-Hartung (whose SE is then zero).
    ValueError
        If method and test do not go together.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> table = meta_analysis(studies, r="r", n="n").tidy()
    >>> table[["estimate", "conf_low", "conf_high"]].round(3)
       estimate  conf_low  conf_high
    0     0.293     0.161      0.425
    """
    check_choice(method, tuple(ESTIMATORS), name="method")
    test = _test(test, method, three_level=study is not None)
    effects = read_effects(data, Columns(estimate, variance, r, n, study, label, moderators))
    return _fit_effects(effects, method, test)


def _test(test: str | None, method: str, *, three_level: bool) -> str:
    if three_level and method != "REML":
        raise ValueError(
            f"With study= the variances are estimated by REML; method={method!r} is for "
            "estimates that are independent. Leave study= out, or keep method='REML'."
        )
    if test is None:
        usual = "normal" if method == "fixed" else "knapp-hartung"
        return "t" if three_level else usual
    check_choice(test, TESTS, name="test")
    if test.startswith("knapp-hartung") and (three_level or method == "fixed"):
        instead = "'t', or robust_tests(result)" if three_level else "'normal'"
        raise ValueError(f"test={test!r} is for random effects at two levels; use test={instead}.")
    return test


def _fit_effects(effects: Effects, method: str, test: str) -> MetaAnalysis:
    """Fit the model that `method` and `test` name to the effects."""
    k, p = effects.X.shape
    if method != "fixed" and k - p < 1:
        raise NotIdentifiedError(
            f"{k} estimate{'s' if k > 1 else ''} and {p} coefficient{'s' if p > 1 else ''} leave "
            "nothing to estimate the variance between effects from. Use method='fixed'."
        )
    if test != "normal" and k - p < 1:
        raise NotIdentifiedError(f"{k} estimates leave no degrees of freedom for test={test!r}.")
    if effects.studies is None:
        components = {"effect": ESTIMATORS[method](effects.y, effects.v, effects.X)}
        converged = True
    else:
        components, converged = estimate_components(effects)
    fit = fit_gls(effects.y, effects.X, _marginal(effects, components))
    factor = _knapp_hartung(fit.quadratic / (k - p), test) if test.startswith("knapp") else 1.0
    return MetaAnalysis(effects, method, test, components, fit, factor, converged)


def _knapp_hartung(ratio: float, test: str) -> float:
    """Return the factor on the covariance, the weighted residual variance."""
    if test == "knapp-hartung-adhoc":
        return max(1.0, ratio)
    if ratio <= np.finfo(np.float64).eps:
        raise NotIdentifiedError(
            "The estimates are all equal, or lie exactly on the moderators' line, so the "
            "Knapp-Hartung standard error is zero. Use test='normal' or 'knapp-hartung-adhoc'."
        )
    return ratio


def _marginal(effects: Effects, components: Mapping[str, float]) -> Array:
    """Return the marginal covariance: (k,) at two levels, (k, k) with effects in studies."""
    own = effects.v + components["effect"]
    if effects.studies is None:
        return own
    same = effects.studies[:, None] == effects.studies[None, :]
    return np.asarray(np.diag(own) + components["study"] * same)


def estimate_components(effects: Effects) -> tuple[dict[str, float], bool]:
    """Return the variance between studies and between a study's effects, by REML.

    ``y = X beta + u_study + w_effect + e`` with ``e`` of known variance ``v`` (Konstantopoulos
    2011, doi:10.1002/jrsm.35).

    Returns
    -------
    components, converged
        ``{"study": ..., "effect": ...}`` on the squared scale of the estimates.

    Raises
    ------
    NotIdentifiedError
        If there is one study, or no study has two effects.
    """
    assert effects.studies is not None
    sizes = np.bincount(effects.studies)
    if len(sizes) < 2:
        raise NotIdentifiedError(
            "All estimates come from one study, so nothing tells how studies differ. Leave "
            "study= out."
        )
    if sizes.max() < 2:
        raise NotIdentifiedError(
            "Every study has one estimate, so differences between studies cannot be told from "
            "those within. Leave study= out."
        )
    columns = [f"x{j}" for j in range(effects.X.shape[1])]
    frame = pd.DataFrame(effects.X, columns=columns).assign(
        y=effects.y, v=effects.v, study=effects.studies, effect=np.arange(len(effects.y))
    )
    random = [intercepts([level]) for level in ("study", "effect")]
    formula = formula_of("y", sum(map(column, columns), Terms(())), random)
    design, _ = build_design(formula, frame, known_variance="v")
    fit = fit_linear(design, reml=True, known=True)
    spread = zip(design.groupings, fit.covariances, strict=True)
    components = {grouping.name: float(covariance[0, 0]) for grouping, covariance in spread}
    return components, fit.convergence.converged


@renamed(on="scale")
def leave_one_study_out(
    model: MetaAnalysis, *, conf_level: float = 0.95, scale: str = "fitted"
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

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.evidence import leave_one_study_out
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> leave_one_study_out(meta_analysis(studies, r="r", n="n"))["estimate"].round(3).tolist()
    [0.31, 0.288, 0.318, 0.262]
    """
    require_kind(model, MetaAnalysis, asked=f"leave_one_study_out {_TAKES}")
    if not model.is_pooled:
        raise NotIdentifiedError("Leaving one out needs a pooled estimate, without moderators.")
    rows = []
    for position in range(len(model.effects.y)):
        again = _fit_effects(model.effects.without(position), model.estimator, model.test)
        told = again.glance().iloc[0][["tau2", "i_squared", "q", "q_p"]]
        rows.append({**again.tidy(conf_level=conf_level, scale=scale).iloc[0], **told})
    frame = pd.DataFrame(rows, index=model.effects.index).drop(columns="term")
    if model.effects.labels:
        frame.insert(0, "label", model.effects.labels)
    return frame


def funnel_asymmetry(
    model: MetaAnalysis, *, method: str = "egger", conf_level: float = 0.95
) -> pd.DataFrame:
    """Test whether effects depend on their standard errors, as they do when small ones are missing.

    Parameters
    ----------
    model
        A meta-analysis at two levels, with or without moderators.
    method
        ``"egger"``: weighted regression on the standard error with multiplicative dispersion
        (Egger et al. 1997, doi:10.1136/bmj.315.7109.629). ``"mixed"``: random effects by REML with
        the standard error as a moderator (Sterne & Egger 2005, doi:10.1002/0470870168.ch6).
    conf_level
        Coverage of the interval of the limit.

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

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.evidence import funnel_asymmetry
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> funnel_asymmetry(meta_analysis(studies, r="r", n="n"))[["estimate", "p_value"]].round(3)
       estimate  p_value
    0     0.798    0.776
    """
    require_kind(model, MetaAnalysis, asked=f"funnel_asymmetry {_TAKES}")
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
        If `cluster` is missing for an effect, or splits a study.
    NotIdentifiedError
        If there are fewer than two clusters, or none is given for a two-level model.

    Notes
    -----
    The bias-reduced estimator of Pustejovsky & Tipton (2018, doi:10.1080/07350015.2016.1247004)
    with the model's marginal covariance as working covariance: the estimator would be unbiased if
    that were true, and the standard errors remain valid if it is not.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.evidence import robust_tests
    >>> studies = pd.DataFrame({
    ...     "study": ["A", "A", "B", "C", "D"],
    ...     "r": [0.2, 0.3, 0.25, 0.4, 0.1],
    ...     "n": [50, 50, 80, 120, 60],
    ... })
    >>> model = meta_analysis(studies, r="r", n="n", study="study")
    >>> robust_tests(model)[["estimate", "std_error"]].round(3)
       estimate  std_error
    0     0.278      0.066
    """
    require_kind(model, MetaAnalysis, asked=f"robust_tests {_TAKES}")
    codes = _clusters(model, cluster)
    effects, M = model.effects, _marginal(model.effects, model.components)
    M = np.diag(M) if M.ndim == 1 else M
    parts = [np.flatnonzero(codes == c) for c in range(int(codes.max()) + 1)]
    robust = cr2(
        [effects.X[own] for own in parts],
        [model.fit.residual[own] for own in parts],
        [M[np.ix_(own, own)] for own in parts],
    )
    df = robust.df(np.eye(len(effects.terms)))
    table = Coefficients(effects.terms, model.fit.beta, robust.vcov, df)
    return table.table(conf_level=conf_level)


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
