"""How results were computed: the methods paragraph."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import get_args

import numpy as np

from alliance_stats.checks import check_choice, require_kind
from alliance_stats.family import FalseAlarms
from alliance_stats.formatting import plural
from alliance_stats.groups import CoderAgreement, GroupComparison
from alliance_stats.multilevel import (
    Comparisons,
    GeneralizedLinearMixedModel,
    LinearMixedModel,
    VarianceBy,
    VariancePartition,
)
from alliance_stats.sentences.estimates import Estimates, method_of_estimates
from alliance_stats.sentences.summaries import Summarised, method_of_summary
from alliance_stats.sentences.wording import DF_WORDS, DfMethod
from alliance_stats.survival import CoxModel, DropoutSensitivity, KaplanMeier, LogRank

__all__ = ["Reportable", "method_of", "methods_paragraph"]

Reportable = (
    LinearMixedModel
    | GeneralizedLinearMixedModel
    | KaplanMeier
    | LogRank
    | CoxModel
    | GroupComparison
    | Estimates
    | Summarised
)
"""What :func:`report` and :func:`methods_paragraph` can put into sentences."""

_PACKAGES = ("alliance-stats", "numpy", "scipy", "pandas")


def methods_paragraph(
    results: Mapping[str, Reportable],
    *,
    df_method: DfMethod = "satterthwaite",
    seed: int | None = None,
) -> str:
    """Say how results were computed: software with versions, methods, rows, seed.

    Parameters
    ----------
    results
        What each was for -> result, in the order of the paper.
    df_method
        As was given to :func:`report` for the linear mixed models.
    seed
        Seed of the random numbers; needed where a result drew some.

    Raises
    ------
    ValueError
        If a result rests on random numbers and no seed is given.
    """
    check_choice(df_method, tuple(DF_WORDS), name="df_method")
    require_kind(results, Mapping, asked="methods_paragraph takes a mapping, {'Alliance': model}")
    for result in results.values():
        require_kind(
            result, get_args(Reportable), asked="methods_paragraph takes results of this package"
        )
    drew = [name for name, result in results.items() if _is_random(result)]
    if drew and seed is None:
        raise ValueError(f"{drew[0]} rests on random numbers; give the seed= it was run with.")
    versions = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    said = [f"Analyses were run in Python {platform.python_version()} with {versions}."]
    said += [
        f"{name}: {method_of(result, df_method)}. {getattr(result, 'rows', '')}".strip()
        for name, result in results.items()
    ]
    if seed is not None:
        said.append(f"Seed of random numbers: {seed}.")
    return " ".join(said)


def _is_random(result: Reportable) -> bool:
    if isinstance(result, LogRank):
        return result.permutation is not None and not result.permutation.exact
    if isinstance(result, GroupComparison):
        return bool(result.tidy()["method"].str.contains("Monte Carlo").any())
    if isinstance(result, CoderAgreement):
        return bool(result.draws)
    if isinstance(result, Comparisons | VariancePartition):
        return bool(result.glance()["n_draws"].iloc[0])
    if isinstance(result, FalseAlarms):
        return result.method == "Monte Carlo"
    return isinstance(result, DropoutSensitivity)


def method_of(result: Reportable, df_method: DfMethod) -> str:
    """Return the method in a phrase."""
    match result:
        case LinearMixedModel():
            fitted = "REML" if result.reml else "maximum likelihood"
            return (
                f"linear mixed model fitted by {fitted} ({result.formula}){_residual(result)}, "
                f"t tests with {DF_WORDS[df_method]}"
            )
        case GeneralizedLinearMixedModel():
            family = f"{result.family.name}, {result.family.link} link"
            approximation = (
                "the Laplace approximation"
                if result.nodes == 1
                else f"adaptive Gauss-Hermite quadrature with {result.nodes} nodes"
            )
            return (
                f"generalized linear mixed model ({family}) fitted by maximum likelihood with "
                f"{approximation} ({result.formula}), Wald z tests"
            )
        case KaplanMeier():
            return f"Kaplan-Meier estimate, {_errors(result.n_clusters, 'Greenwood')}"
        case LogRank():
            return result.method
        case CoxModel():
            frailty = result.frailty
            shared = f"{frailty.distribution} frailty of {frailty.group}, " if frailty else ""
            return (
                f"Cox model with {result.ties.capitalize()}'s method for ties, "
                f"{_strata(result)}{shared}"
                f"{_errors(result.n_clusters, 'model-based')}"
            )
        case GroupComparison():
            methods = dict.fromkeys(str(method) for method in result.tidy()["method"])
            return f"comparison of groups by {', '.join(methods)}"
        case _ if isinstance(result, Estimates):
            return method_of_estimates(result)
        case _:
            return method_of_summary(result)


def _residual(model: LinearMixedModel) -> str:
    """Return what was said of the residual, if anything."""
    parts = []
    if np.ptp(model.design.root_weights) > 0 and not model.problem.known:
        parts.append("weighted rows (residual at weight 1)")
    if model.problem.known:
        parts.append("known sampling variances")
    for structure in model.fit.structures:
        if isinstance(structure, VarianceBy):
            parts.append(f"residual variance by {structure.by}")
        else:
            parts.append(f"{type(structure).__name__} residuals over {structure.time}")
    return f" with {' and '.join(parts)}" if parts else ""


def _strata(model: CoxModel) -> str:
    """Return what the baseline hazards differ by, if anything."""
    columns = " and ".join(str(name) for name in model.intervals.strata_columns)
    n = plural(len(model.intervals.strata), "stratum", "strata")
    return f"stratified by {columns} ({n}), " if columns else ""


def _errors(n_clusters: int | None, otherwise: str) -> str:
    if n_clusters is None:
        return f"{otherwise} standard errors"
    return f"standard errors over {plural(n_clusters, 'cluster')}"
