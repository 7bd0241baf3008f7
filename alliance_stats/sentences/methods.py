"""How results were computed: the methods paragraph."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import get_args

from alliance_stats.account import Accountable
from alliance_stats.checks import check_choice, require_kind
from alliance_stats.errors import WrongObjectError
from alliance_stats.family import FalseAlarms
from alliance_stats.groups import CoderAgreement, GroupComparison, ThemeComparison
from alliance_stats.multilevel import (
    Comparisons,
    LinearMixedModel,
    VariancePartition,
)
from alliance_stats.sentences.wording import DF_WORDS, DfMethod
from alliance_stats.survival import DropoutSensitivity, LogRank

__all__ = ["Reportable", "method_of", "methods_paragraph"]

Reportable = Accountable | GroupComparison | ThemeComparison
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


def method_of(result: object, df_method: DfMethod) -> str:
    """Return the method in a phrase."""
    if isinstance(result, LinearMixedModel):
        return result.account(df_method=df_method).method
    if isinstance(result, Accountable):
        return result.account().method
    if isinstance(result, ThemeComparison):
        return method_of(result.comparison, df_method)
    if isinstance(result, GroupComparison):
        methods = dict.fromkeys(str(method) for method in result.tidy()["method"])
        return f"comparison of groups by {', '.join(methods)}"
    raise WrongObjectError(f"There is no method of a {type(result).__name__} to say.")
