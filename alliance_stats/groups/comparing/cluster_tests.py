"""Tests for members nested in clusters: the mixed model, the cluster-robust difference."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.design.formula import CONSTANT, column, formula_of, nested_intercepts
from alliance_stats.effect_sizes import ClusteredEffect, model_based_g, total_variance_df
from alliance_stats.engine.sandwich import RowVariances, cr2
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers, two_sided_p
from alliance_stats.formatting import format_df, format_number
from alliance_stats.groups.comparing.finding import Finding, TestOptions, t_interval
from alliance_stats.groups.comparing.group_samples import Outcome
from alliance_stats.multilevel import LinearMixedModel, infer, lmm
from alliance_stats.named import named

__all__ = [
    "ClusterRobustFit",
    "cluster_robust",
    "cluster_robust_difference",
    "fit_mixed_model",
    "mixed_model",
]


_FEW_DF = 3.0  # below, the test's level was measured at .00 (docs/coverage/mixed_difference.md)
_APART = 0.25  # of the larger difference: beyond it, a reader must know which of two is meant
_NEGLIGIBLE = 0.02  # SDs: differences this near to each other are one, whatever their signs


@dataclass(frozen=True, slots=True)
class ClusterRobustFit:
    """Difference (first minus second), CR2 standard error, Satterthwaite df."""

    estimate: float
    std_error: float
    df: float


def cluster_robust_difference(outcome: Outcome) -> ClusterRobustFit | None:
    """Fit the difference by least squares, with the baseline as covariate if there is one.

    CR2 of Bell & McCaffrey (2002) with identity working model and Satterthwaite df, as in
    clubSandwich (Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004). None where the
    clusters carry no information about the error.
    """
    assert outcome.cluster is not None  # asked for only where the design is clustered
    columns = [(outcome.group == 0).astype(float), np.ones(outcome.values.size)]
    if outcome.baseline is not None:
        columns.append(outcome.baseline)
    X = np.column_stack(columns)
    if np.linalg.matrix_rank(X) < X.shape[1]:
        return None
    beta = np.linalg.lstsq(X, outcome.values, rcond=None)[0]
    residual = outcome.values - X @ beta
    rows = [np.flatnonzero(outcome.cluster == code) for code in np.unique(outcome.cluster)]
    working = [RowVariances(np.ones(own.size)) for own in rows]
    found = cr2([X[own] for own in rows], [residual[own] for own in rows], working)
    error = math.sqrt(float(found.vcov[0, 0]))
    if not error > outcome.dust:
        return None
    df = float(found.df(np.eye(X.shape[1])[:1])[0])
    return ClusterRobustFit(float(beta[0]), error, df)


def mixed_model(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Difference of groups from ``outcome ~ group [+ baseline] + (1 | cluster)``, by REML.

    More than two groups are tested jointly by F.
    Standard error and df of Kenward & Roger (1997), doi:10.2307/2533558. A cluster with members in
    both groups also contributes a comparison within itself, and the row says so. The row's g is
    this difference in total SDs of the model. Means weigh members, the model weighs clusters:
    where the differences are of opposite sign or more than a quarter of the
    larger apart, the row's note gives both.
    """
    model = fit_mixed_model(outcome)
    note = _cluster_note(outcome, singular=model.singular, model_g=True)
    k = len(outcome.labels)
    inference = infer(model, "kenward-roger")
    if k > 2:
        test = inference.joint_test(np.eye(len(model.beta))[1:k])
        return Finding(
            test="mixed_model",
            method="mixed model (Kenward-Roger)",
            estimand="differences among means",
            statistic_name="F",
            statistic=test.statistic,
            df1=test.df1,
            df2=test.df2,
            p_value=float(stats.f.sf(test.statistic, test.df1, test.df2)),
            note=_joined(note, _few_df(outcome, test.df2)),
        )
    row = inference.of(np.eye(len(model.beta))[1:2])
    estimate, error, df = float(row.estimate[0]), float(row.std_error[0]), float(row.df[0])
    adjusted = "adjusted " if outcome.baseline is not None else ""
    standardised = _standardised(outcome, model, (estimate, error, df))
    return Finding(
        test="mixed_model",
        method="mixed model (Kenward-Roger)",
        estimand=f"{adjusted}mean difference",
        estimate=estimate,
        std_error=error,
        statistic_name="t",
        statistic=estimate / error,
        df=df,
        p_value=float(two_sided_p(estimate / error, df=df)),
        interval=t_interval(estimate, error, df),
        interval_method="t (Kenward-Roger)",
        standardised=standardised,
        standardised_by="" if standardised is None else f"total SD of the {_model_of(outcome)}",
        note=_joined(
            _disagreement(outcome, estimate, weighs_clusters=True), note, _few_df(outcome, df)
        ),
    )


def fit_mixed_model(outcome: Outcome) -> LinearMixedModel:
    """Fit ``outcome ~ group [+ baseline] + (1 | cluster/...)``; the last group is the reference.

    Coefficients: intercept, one indicator for each group but the last, the baseline.
    """
    assert outcome.cluster is not None  # asked for only where the design is clustered
    if np.unique(outcome.cluster).size == outcome.values.size:
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}': every cluster has one member, so cluster= says nothing. "
            "Leave it out."
        )
    spread = pd.Series(outcome.values).groupby(outcome.cluster).agg(np.ptp)
    if (spread == 0).all():
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}' is the same for all members of every cluster: keep one row "
            "per cluster and leave cluster= out."
        )
    last = len(outcome.labels) - 1
    fixed = {f"group{g}": (outcome.group == g).astype(float) for g in range(last)}
    if outcome.baseline is not None:
        fixed["baseline"] = outcome.baseline
    units = {"cluster": outcome.cluster}
    units |= {f"inner{i}": codes for i, codes in enumerate(outcome.inner)}
    formula = formula_of("outcome", sum(map(column, fixed), CONSTANT), nested_intercepts([*units]))
    return lmm(formula, pd.DataFrame({"outcome": outcome.values, **fixed, **units}))


def _standardised(
    outcome: Outcome, model: LinearMixedModel, found: tuple[float, float, float]
) -> Callable[[float], ClusteredEffect] | None:
    """Return the model's difference in total SDs; None for several levels of clusters.

    With a baseline the SDs are those of the model without it: the effect is then on the scale of
    the outcome, however much of its variance the baseline explains.
    """
    assert outcome.cluster is not None  # asked for only where the design is clustered
    if outcome.inner:
        return None
    raw = model if outcome.baseline is None else fit_mixed_model(replace(outcome, baseline=None))
    between, within = float(raw.covariances()["cluster"].iloc[0, 0]), raw.sigma**2
    X = np.column_stack([np.ones(outcome.values.size), outcome.group == 0]).astype(float)
    return partial(_in_total_sds, found, X, outcome.cluster, (between, within))


@named
def _in_total_sds(
    found: tuple[float, float, float],
    X: Array,
    cluster: Integers,
    variances: tuple[float, float],
    conf_level: float,
) -> ClusteredEffect:
    (estimate, error, df), (between, within) = found, variances
    return model_based_g(
        estimate,
        error,
        between=between,
        within=within,
        variance_df=total_variance_df(X, cluster, between=between, within=within),
        df=df,
        conf_level=conf_level,
    )


def _model_of(outcome: Outcome) -> str:
    return "mixed model" if outcome.baseline is None else "mixed model without the baseline"


def cluster_robust(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Least-squares difference with CR2 standard error and Satterthwaite df."""
    fit = cluster_robust_difference(outcome)
    if fit is None:
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}' does not vary between the clusters of a group, so the "
            "difference has no cluster-robust standard error."
        )
    t = fit.estimate / fit.std_error
    plain = "risk difference" if outcome.kind == "binary" else "mean difference"
    return Finding(
        test="cluster_robust",
        method="cluster-robust t test (CR2)",
        estimand=plain if outcome.baseline is None else f"adjusted {plain}",
        estimate=fit.estimate,
        std_error=fit.std_error,
        statistic_name="t",
        statistic=t,
        df=fit.df,
        p_value=float(two_sided_p(t, df=fit.df)),
        interval=t_interval(fit.estimate, fit.std_error, fit.df),
        interval_method="cluster-robust t (CR2)",
        note=_joined(
            _disagreement(outcome, fit.estimate, weighs_clusters=False),
            _cluster_note(outcome, singular=False, model_g=False),
        ),
    )


def _cluster_note(outcome: Outcome, *, singular: bool, model_g: bool) -> str:
    notes = []
    if outcome.clusters_cross:
        notes.append(
            "clusters lie in both groups: they are compared within and between clusters"
            + ("" if model_g else ", and no cluster-corrected g is given")
        )
    if outcome.inner:
        notes.append("no g is given for several levels of clusters")
    if singular:
        notes.append("the variance between clusters was estimated as 0 (and counts as estimated)")
    return "; ".join(notes)


def _few_df(outcome: Outcome, df: float) -> str:
    """Say where a test on so few degrees of freedom hardly ever rejects, or nothing."""
    if df >= _FEW_DF:
        return ""
    permutable = (
        len(outcome.labels) == 2 and outcome.baseline is None and not outcome.clusters_cross
    )
    advice = ": a permutation of whole clusters (test='permutation') needs none"
    return (
        f"with {format_df(df)} degrees of freedom the model can hardly tell anything"
        f"{advice if permutable else ''}"
    )


def _disagreement(outcome: Outcome, estimate: float, *, weighs_clusters: bool) -> str:
    """Say where the model's difference is not the one that means and g show, or nothing."""
    raw = float(outcome.of(0).mean() - outcome.of(1).mean())
    if abs(raw - estimate) <= _NEGLIGIBLE * float(outcome.values.std()):
        return ""
    opposite = raw * estimate < 0
    if not opposite and abs(raw - estimate) <= _APART * max(abs(raw), abs(estimate)):
        return ""
    members_g = outcome.kind == "continuous" and not outcome.clusters_cross and not outcome.inner
    shows_g = members_g and not weighs_clusters  # g of the mixed model is in step with it
    does = ["weighs clusters"] if weighs_clusters else []
    does += ["adjusts for the baseline"] if outcome.baseline is not None else []
    return (
        f"the model's difference, {format_number(estimate)}, is "
        f"{'of the opposite sign to' if opposite else 'far from'} the difference of the members' "
        f"means, {format_number(raw)}: the model {' and '.join(does)}, the "
        f"means{' and hedges_g' if shows_g else ''} do not"
    )


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
