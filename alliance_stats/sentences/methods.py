"""How results were computed: the methods paragraph."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import get_args

from alliance_stats.account import Account, Accountable
from alliance_stats.checks import check_choice, require_kind
from alliance_stats.multilevel import DfMethod, LinearMixedModel

__all__ = ["methods_paragraph"]

_PACKAGES = ("alliance-stats", "numpy", "scipy", "pandas")


def methods_paragraph(
    results: Mapping[str, Accountable],
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

    Examples
    --------
    >>> from alliance_stats import example_study, lmm, methods_paragraph
    >>> sessions = example_study().sessions
    >>> model = lmm("alliance ~ session + (1 | family/person)", sessions)
    >>> methods_paragraph({"alliance": model})[:30]
    'Analyses were run in Python 3.'
    """
    check_choice(df_method, get_args(DfMethod), name="df_method")
    require_kind(results, Mapping, asked="methods_paragraph takes a mapping, {'Alliance': model}")
    for result in results.values():
        require_kind(result, Accountable, asked="methods_paragraph takes results of this package")
    accounts = {name: account_of(result, df_method) for name, result in results.items()}
    drew = [name for name, account in accounts.items() if account.drawn]
    if drew and seed is None:
        raise ValueError(f"{drew[0]} rests on random numbers; give the seed= it was run with.")
    versions = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    said = [f"Analyses were run in Python {platform.python_version()} with {versions}."]
    said += [
        f"{name}: {account.method}. {account.rows or ''}".strip()
        for name, account in accounts.items()
    ]
    if seed is not None:
        said.append(f"Seed of random numbers: {seed}.")
    return " ".join(said)


def account_of(result: Accountable, df_method: DfMethod = "satterthwaite") -> Account:
    """Return what a result says of itself; `df_method` is for linear mixed models."""
    if isinstance(result, LinearMixedModel):
        return result.account(df_method=df_method)
    return result.account()
