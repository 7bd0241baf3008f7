"""Tests for members nested in clusters: the mixed model, the cluster-robust difference."""

import numpy as np
import pandas as pd

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import two_sided_p
from alliance_stats.groups.cluster_robust import cluster_robust_difference
from alliance_stats.groups.finding import Finding, TestOptions, t_interval
from alliance_stats.groups.samples import Outcome
from alliance_stats.multilevel import lmm

__all__ = ["cluster_robust", "mixed_model"]


def mixed_model(outcome: Outcome, options: TestOptions) -> Finding:  # noqa: ARG001
    """Difference of groups from ``outcome ~ group [+ baseline] + (1 | cluster)``, by REML.

    Standard error and df of Kenward & Roger (1997), doi:10.2307/2533558. A cluster with members in
    both groups is compared within itself too, and the row says so.
    """
    assert outcome.cluster is not None  # asked for only where the design is clustered
    n_clusters = np.unique(outcome.cluster).size
    if n_clusters == outcome.values.size:
        raise NotIdentifiedError(
            f"Outcome '{outcome.name}': every cluster has one member, so cluster= says nothing. "
            "Leave it out."
        )
    frame = pd.DataFrame(
        {
            "outcome": outcome.values,
            "first": (outcome.group == 0).astype(float),
            "cluster": outcome.cluster,
        }
    )
    formula = "outcome ~ first + (1 | cluster)"
    if outcome.baseline is not None:
        frame["baseline"] = outcome.baseline
        formula = "outcome ~ first + baseline + (1 | cluster)"
    model = lmm(formula, frame)
    row = model.tidy(df_method="kenward-roger").set_index("term").loc["first"]
    adjusted = "adjusted " if outcome.baseline is not None else ""
    estimate, error, df = (float(row[c]) for c in ("estimate", "std_error", "df"))
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
        note=_cluster_note(outcome, singular=model.singular),
    )


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
        note=_cluster_note(outcome, singular=False),
    )


def _cluster_note(outcome: Outcome, *, singular: bool) -> str:
    notes = []
    if outcome.clusters_cross:
        notes.append(
            "clusters lie in both groups: they are compared within and between clusters, and no "
            "cluster-corrected g is given"
        )
    if singular:
        notes.append("the variance between clusters was estimated as 0")
    return "; ".join(notes)
