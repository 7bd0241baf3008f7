"""Coefficients of agreement: kappas, Krippendorff's alpha, intraclass correlations."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from statsmodels.stats import inter_rater

from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.design.formula import CONSTANT, MixedFormula, formula_of, intercepts
from alliance_stats.effect_sizes import EffectSize
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import DUST, Array, Integers
from alliance_stats.multilevel import LinearMixedModel, lmm, parametric_bootstrap
from alliance_stats.renaming import renamed

__all__ = [
    "FORMS",
    "anova_intervals",
    "cohen_kappa",
    "fleiss_kappa",
    "icc_estimates",
    "krippendorff_alpha",
    "simulated_estimates",
    "variance_components",
]

_NONE = (math.nan, math.nan, math.nan)


def cohen_kappa(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    weights: str = "none",
    categories: npt.ArrayLike | None = None,
    conf_level: float = 0.95,
) -> EffectSize:
    """Return Cohen's kappa of two coders, weighted by distance of categories if requested.

    Parameters
    ----------
    first, second
        Codes of the same cases, none missing. Weights take the distance of sorted categories'
        ranks: ``"linear"`` or ``"quadratic"``.
    categories
        All possible codes in order, if some were not used.

    Returns
    -------
    EffectSize
        The interval is normal with the large-sample error of Fleiss, Cohen & Everitt (1969),
        doi:10.1037/h0028106, cut at 1; NaN where the cases show no sampling variance (all agree).
        Everything is NaN where both coders use the same code throughout.

    Examples
    --------
    >>> from alliance_stats.groups import cohen_kappa
    >>> round(cohen_kappa([1, 0, 1, 1, 0, 1], [1, 0, 1, 0, 0, 1]).estimate, 3)
    0.667
    """
    alpha = 1.0 - check_conf_level(conf_level)
    check_choice(weights, ("none", "linear", "quadratic"), name="weights")
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape:
        raise DataError(f"Two coders must code the same cases; got {a.size} and {b.size} codes.")
    codes = np.unique(np.concatenate([a, b])) if categories is None else np.asarray(categories)
    rows, cols = _position(codes, a), _position(codes, b)
    if len({*rows.tolist(), *cols.tolist()}) < 2:
        return EffectSize(*_NONE, conf_level)
    table = np.zeros((codes.size, codes.size))
    np.add.at(table, (rows, cols), 1.0)
    kappa, variance = _weighted_kappa(table, _agreement_weights(codes.size, weights))
    if variance <= 1e-15:  # all cases agree, up to rounding
        return EffectSize(kappa, math.nan, math.nan, conf_level)
    half = float(stats.norm.isf(alpha / 2.0)) * math.sqrt(variance)
    return EffectSize(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), conf_level)


def _agreement_weights(k: int, weights: str) -> Array:
    """Return how far two categories count as agreement: 1 on the diagonal, 0 at the ends."""
    if weights == "none":
        return np.eye(k)
    distance = np.abs(np.subtract.outer(np.arange(k), np.arange(k))) / (k - 1.0)
    return np.asarray(1.0 - distance ** (1 if weights == "linear" else 2))


def _weighted_kappa(table: Array, weights: Array) -> tuple[float, float]:
    """Return weighted kappa and its large-sample variance (Fleiss, Cohen & Everitt 1969)."""
    n = table.sum()
    p = table / n
    rows, cols = p.sum(axis=1), p.sum(axis=0)
    observed = float(np.sum(weights * p))
    expected = float(np.sum(weights * np.outer(rows, cols)))
    kappa = (observed - expected) / (1.0 - expected)
    by_chance = (weights @ cols)[:, None] + (rows @ weights)[None, :]
    spread = float(np.sum(p * (weights - by_chance * (1.0 - kappa)) ** 2))
    return kappa, (spread - (kappa - expected * (1.0 - kappa)) ** 2) / (n * (1.0 - expected) ** 2)


def fleiss_kappa(codes: Integers) -> float:
    """Return Fleiss' kappa of cases x coders without missing codes (Fleiss 1971).

    doi:10.1037/h0031619. NaN where one category is used throughout.
    """
    table, used = inter_rater.aggregate_raters(codes)
    return math.nan if used.size < 2 else float(inter_rater.fleiss_kappa(table))


@renamed(level="measurement")
def krippendorff_alpha(ratings: Array, *, measurement: str = "nominal") -> float:
    """Return Krippendorff's alpha of cases x coders, NaN where a case was not coded.

    ``1 - D_o / D_e`` over all pairs of codes within and between cases; cases with one code
    contribute nothing. `measurement` is ``"nominal"``, ``"ordinal"`` or ``"interval"`` and sets the
    difference of two codes (Krippendorff 2019, Content Analysis, 4th ed., ch. 12). NaN where all
    codes are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from alliance_stats.groups import krippendorff_alpha
    >>> ratings = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> round(krippendorff_alpha(ratings), 3)
    0.533
    """
    check_choice(measurement, ("nominal", "ordinal", "interval"), name="measurement")
    values = np.unique(ratings[~np.isnan(ratings)])
    if values.size < 2:
        return math.nan
    counts = (ratings[:, :, None] == values).sum(axis=1).astype(float)  # cases x values
    per_case = counts.sum(axis=1)
    paired = per_case >= 2
    counts, per_case = counts[paired], per_case[paired]
    # o[c, k]: pairs of codes within cases, each case weighing 1 / (its codes - 1)
    weighted = counts / (per_case - 1.0)[:, None]
    coincidence = weighted.T @ counts - np.diag(weighted.sum(axis=0))
    totals = coincidence.sum(axis=1)
    n = totals.sum()
    difference = _differences(values, totals, measurement)
    expected = float(np.sum(np.outer(totals, totals) * difference)) / (n - 1.0)
    if expected == 0:
        return math.nan
    return float(1.0 - np.sum(coincidence * difference) / expected)


def _differences(values: Array, totals: Array, level: str) -> Array:
    """Return squared differences between codes."""
    if level == "nominal":
        return np.asarray(1.0 - np.eye(values.size))
    if level == "interval":
        return np.asarray((values[:, None] - values[None, :]) ** 2)
    # ordinal: how many codes lie between, the two ends half
    middle = np.cumsum(totals) - totals / 2.0
    return np.asarray((middle[:, None] - middle[None, :]) ** 2)


def _position(
    codes: npt.NDArray[np.generic], given: npt.NDArray[np.generic]
) -> npt.NDArray[np.intp]:
    order = {code: i for i, code in enumerate(codes.tolist())}
    unknown = [value for value in given.tolist() if value not in order]
    if unknown:
        raise DataError(f"Code {unknown[0]!r} is not among the categories {codes.tolist()}.")
    return np.array([order[value] for value in given.tolist()], dtype=np.intp)


Components = tuple[tuple[float, float], tuple[float, float, float]]

FORMS = ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)")
"""One-way; two-way absolute agreement; two-way consistency; of one coder and of the mean of k."""


_ONE_WAY = formula_of("rating", CONSTANT, [intercepts(["case"])])
_TWO_WAY = formula_of("rating", CONSTANT, [intercepts(["case"]), intercepts(["coder"])])


def variance_components(ratings: Array) -> Components:
    """Return (case, error) of the one-way and (case, coder, error) of the two-way random model.

    By analysis of variance where every case has every rating (components of cases or coders may
    then be negative, as McGraw & Wong's coefficients require), by REML with `lmm` where some are
    missing.
    """
    if np.isnan(ratings).any():
        return _one_way(_fit(_ONE_WAY, ratings)), _two_way(_fit(_TWO_WAY, ratings))
    n, k = ratings.shape
    ms_case, ms_within, ms_coder, ms_error = _mean_squares(ratings)
    one_way = ((ms_case - ms_within) / k, ms_within)
    return one_way, ((ms_case - ms_error) / k, (ms_coder - ms_error) / n, ms_error)


def icc_estimates(components: Components, k: int) -> dict[str, float]:
    """Return the six forms of :data:`FORMS` (McGraw & Wong 1996, doi:10.1037/1082-989X.1.1.30)."""
    (case_1, error_1), (case, coder, error) = components
    noise = {"ICC(1": error_1, "ICC(A": coder + error, "ICC(C": error}
    signal = {"ICC(1": case_1, "ICC(A": case, "ICC(C": case}
    return {
        form: _share(signal[form[:5]], noise[form[:5]] / (1 if form.endswith("1)") else k))
        for form in FORMS
    }


def simulated_estimates(ratings: Array, n_draws: int, *, seed: int) -> dict[str, Array]:
    """Return parametric-bootstrap values of the six forms for incomplete ratings.

    Ratings are drawn from the fitted models, one-way for ICC(1) and two-way for ICC(A) and ICC(C),
    where ratings were given; the models are then fitted again.
    """
    k = ratings.shape[1]

    def one_way(model: LinearMixedModel) -> dict[str, float]:
        case, error = _one_way(model)
        return icc_estimates(((case, error), (case, 0.0, error)), k)

    def two_way(model: LinearMixedModel) -> dict[str, float]:
        case, coder, error = _two_way(model)
        return icc_estimates(((case, error), (case, coder, error)), k)

    first = parametric_bootstrap(
        _fit(_ONE_WAY, ratings), one_way, n_resamples=n_draws, seed=seed
    ).draws
    second = parametric_bootstrap(
        _fit(_TWO_WAY, ratings), two_way, n_resamples=n_draws, seed=seed
    ).draws
    return {
        form: (first if form.startswith("ICC(1,") else second)[form].to_numpy() for form in FORMS
    }


def anova_intervals(ratings: Array, conf_level: float) -> dict[str, tuple[float, float]]:
    """Return the F intervals of the six forms for complete ratings (McGraw & Wong 1996).

    NaN where there is no error to judge a form by: coders who agree fully, or up to a constant.
    """
    n, k = ratings.shape
    alpha = 1.0 - conf_level
    ms_case, ms_within, _, ms_error = _mean_squares(ratings)
    if ms_within == 0.0:
        return dict.fromkeys(FORMS, (math.nan, math.nan))
    one_way = _f_limits(ms_case, ms_within, (n - 1, n * (k - 1)), alpha)
    consistent = _f_limits(ms_case, ms_error, (n - 1, (n - 1) * (k - 1)), alpha)
    limits = {
        "ICC(1,1)": tuple((f - 1.0) / (f + k - 1.0) for f in one_way),
        "ICC(A,1)": _agreement_limits(ratings, alpha),
        "ICC(C,1)": tuple((f - 1.0) / (f + k - 1.0) for f in consistent),
    }
    single = {form: (low, high) for form, (low, high) in limits.items()}
    mean = {
        form.replace(",1)", ",k)"): (_stepped_up(low, k), _stepped_up(high, k))
        for form, (low, high) in single.items()
    }
    return single | mean


def _agreement_limits(ratings: Array, alpha: float) -> tuple[float, float]:
    """Return the limits of absolute agreement, with Satterthwaite df of its denominator."""
    n, k = ratings.shape
    ms_case, _, ms_coder, ms_error = _mean_squares(ratings)
    rho = _share((ms_case - ms_error) / k, (ms_coder - ms_error) / n + ms_error)
    if not rho < 1.0 or ms_case == ms_error == 0.0:  # nothing to judge an error by
        return math.nan, math.nan
    a = k * rho / (n * (1.0 - rho))
    b = 1.0 + k * rho * (n - 1.0) / (n * (1.0 - rho))
    v = (a * ms_coder + b * ms_error) ** 2 / (
        (a * ms_coder) ** 2 / (k - 1.0) + (b * ms_error) ** 2 / ((n - 1.0) * (k - 1.0))
    )
    noise = k * ms_coder + (k * n - k - n) * ms_error
    below = float(stats.f.isf(alpha / 2.0, n - 1, v))
    above = float(stats.f.isf(alpha / 2.0, v, n - 1))
    return (
        n * (ms_case - below * ms_error) / (below * noise + n * ms_case),
        n * (above * ms_case - ms_error) / (noise + n * above * ms_case),
    )


def _f_limits(case: float, error: float, df: tuple[int, int], alpha: float) -> tuple[float, float]:
    if error == 0.0:
        return math.nan, math.nan
    f = case / error
    return (
        f / float(stats.f.isf(alpha / 2.0, *df)),
        f * float(stats.f.isf(alpha / 2.0, df[1], df[0])),
    )


def _stepped_up(rho: float, k: int) -> float:
    """Return the reliability of the mean of k coders (Spearman-Brown); -inf at its pole."""
    below = 1.0 + (k - 1.0) * rho
    return k * rho / below if below else -math.inf


def _share(signal: float, noise: float) -> float:
    return signal / (signal + noise) if signal + noise else math.nan


def _mean_squares(ratings: Array) -> tuple[float, float, float, float]:
    """Return the mean squares of cases, within cases, of coders, and of the residual."""
    n, k = ratings.shape
    grand = ratings.mean()
    ss_case = k * float(((ratings.mean(axis=1) - grand) ** 2).sum())
    ss_coder = n * float(((ratings.mean(axis=0) - grand) ** 2).sum())
    ss_within = float(((ratings - ratings.mean(axis=1, keepdims=True)) ** 2).sum())
    fitted = ratings.mean(axis=1, keepdims=True) + ratings.mean(axis=0) - grand
    ss_error = float(((ratings - fitted) ** 2).sum())
    dust = n * k * (DUST * float(np.abs(ratings).max())) ** 2  # what rounding makes of a zero
    ss_within, ss_error = (ss if ss > dust else 0.0 for ss in (ss_within, ss_error))
    return (
        ss_case / (n - 1),
        ss_within / (n * (k - 1)),
        ss_coder / (k - 1),
        ss_error / ((n - 1) * (k - 1)),
    )


def _one_way(model: LinearMixedModel) -> tuple[float, float]:
    found = _variances(model)
    return found["case"], found["Residual"]


def _two_way(model: LinearMixedModel) -> tuple[float, float, float]:
    found = _variances(model)
    return found["case"], found["coder"], found["Residual"]


def _fit(formula: MixedFormula, ratings: Array) -> LinearMixedModel:
    case, coder = np.nonzero(~np.isnan(ratings))
    values = ratings[case, coder]
    if not (np.nanmax(ratings, axis=1) > np.nanmin(ratings, axis=1)).any():
        raise NotIdentifiedError(
            "The coders give the same rating to each case: with no error variance the mixed model "
            "has nothing to estimate the intraclass correlations from."
        )
    return lmm(formula, pd.DataFrame({"rating": values, "case": case, "coder": coder}))


def _variances(model: LinearMixedModel) -> dict[str, float]:
    """Return group -> variance."""
    table = model.tidy(effects="ran_pars")
    return {str(g): float(sd) ** 2 for g, sd in zip(table["group"], table["estimate"], strict=True)}
