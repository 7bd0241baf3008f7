"""Meta-analysis: fixed and random effects, effects in studies, meta-regression."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.evidence.meta.pooled_estimate import MetaAnalysis
from alliance_stats.evidence.meta.pooling import ESTIMATORS, fit_gls
from alliance_stats.evidence.meta.sampled_effects import Columns, Effects, read_effects
from alliance_stats.multilevel import lmm

__all__ = ["TESTS", "fit_effects", "marginal", "meta_analysis"]

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
        A row an estimate. Rows in which a needed column is missing are set aside and counted.
    estimate, variance
        Columns of estimates (on a scale where they are near normal: Fisher's z, d, log odds) and
        of their sampling variances.
    r, n
        Instead: columns of correlations and sample sizes. They are pooled on Fisher's z scale,
        with variance ``1/(n - 3)``; ``tidy(on="r")`` turns the pooled value back.
    study
        Column naming the study of each estimate. Given, the model has three levels: estimates
        within studies share what is theirs (Konstantopoulos 2011, doi:10.1002/jrsm.35).
    label
        Column with what each estimate is called ("Smith 1998"): kept for figures and tables, not
        for the model.
    moderators
        Right-hand side of a formula, ``"year + design"``: meta-regression.
    method
        How the variance between effects is estimated: ``"REML"``, ``"DL"`` (DerSimonian & Laird
        1986), ``"PM"`` (Paule & Mandel 1982), or ``"fixed"``: none. With `study` only REML.
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
    """
    check_choice(method, tuple(ESTIMATORS), name="method")
    test = _test(test, method, three_level=study is not None)
    effects = read_effects(data, Columns(estimate, variance, r, n, study, label, moderators))
    return fit_effects(effects, method, test)


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


def fit_effects(effects: Effects, method: str, test: str) -> MetaAnalysis:
    """Fit the model that `method` and `test` name to effects that were read."""
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
    fit = fit_gls(effects.y, effects.X, marginal(effects, components))
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


def marginal(effects: Effects, components: Mapping[str, float]) -> Array:
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
    # the search is started and stopped in absolute terms: numbers of about 1 whatever their unit
    unit = float(np.sqrt(np.median(effects.v)))
    columns = [f"x{j}" for j in range(effects.X.shape[1])]
    frame = pd.DataFrame(effects.X, columns=columns).assign(
        y=effects.y / unit,
        v=effects.v / unit**2,
        study=effects.studies,
        effect=np.arange(len(effects.y)),
    )
    formula = f"y ~ 0 + {' + '.join(columns)} + (1 | study) + (1 | effect)"
    model = lmm(formula, frame, known_variance="v")
    spread = model.tidy(effects="ran_pars").set_index("group")["estimate"]
    components = {level: (unit * float(spread[level])) ** 2 for level in ("study", "effect")}
    return components, bool(model.glance()["converged"].iloc[0])
