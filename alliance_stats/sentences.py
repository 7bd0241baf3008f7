"""Results in sentences as papers print them, the methods paragraph, and its publications."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import get_args

from alliance_stats.account import Account, Accountable, as_sentences, entries_of
from alliance_stats.arguments import kind_of, require_kind
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.errors import WrongObjectError
from alliance_stats.multilevel import DfMethod, LinearMixedModel

__all__ = ["bibliography", "methods_paragraph", "report"]


def report(
    result: Accountable,
    *,
    words: Mapping[str, str] | None = None,
    df_method: DfMethod = "satterthwaite",
    conf_level: float = 0.95,
    decimal: str = ".",
) -> str:
    """Write a result as sentences: warnings, model and number of rows, every estimate.

    Parameters
    ----------
    result
        Any result of this package that gives an account of itself (``result.account()``).
    words
        Name of a coefficient, level, stratum, group or outcome -> label to print; others keep their
        own names, so that none is omitted. Unknown names are refused.
    df_method
        Of a linear mixed model, as in :meth:`LinearMixedModel.tidy`; others have none to choose.
    conf_level
        Coverage of the intervals.
    decimal
        The decimal sign, ``"."`` or ``","``.

    Returns
    -------
    str
        Plain text such as ``"session: b = 0.21, 95% CI [0.12, 0.30], t(43.2) = 4.61, p < .001."``
        Coefficients of generalized models are on the link scale, followed by their exponential if
        it is a ratio; those of a Cox model are given as hazard ratios.

    Raises
    ------
    TypeError
        If such a result cannot be written as sentences.
    ValueError
        If `df_method` is unknown, or was chosen for a result that has none; or if `words` or
        another `conf_level` are requested for a result that is reported by its summary.

    Examples
    --------
    >>> from alliance_stats import endings, example_study, kaplan_meier, report
    >>> families = endings(example_study()).units
    >>> report(kaplan_meier(families, time="time", event="event"))[:51]
    'Kaplan-Meier estimate, Greenwood standard errors; n'
    """
    check_conf_level(conf_level)
    check_choice(df_method, get_args(DfMethod), name="df_method")
    if df_method != "satterthwaite" and not isinstance(result, LinearMixedModel):
        raise ValueError(f"df_method is for linear mixed models; got {type(result).__name__}.")
    if isinstance(result, LinearMixedModel):
        account = result.account(df_method=df_method, conf_level=conf_level)
        return as_sentences(account, words=words, decimal=decimal)
    if isinstance(result, Accountable) and not isinstance(result, type):
        # a result with a level of its own (compare_with) is asked for another only on wish
        asked = {} if conf_level == 0.95 else {"conf_level": conf_level}
        return as_sentences(result.account(**asked), words=words, decimal=decimal)
    raise WrongObjectError(f"report() takes a result of this package; got {kind_of(result)}.")


_PACKAGES = {
    "alliance-stats": "",
    "numpy": "harris2020",
    "scipy": "virtanen2020",
    "pandas": "mckinney2010",
}


def methods_paragraph(
    results: Mapping[str, Accountable],
    *,
    df_method: DfMethod = "satterthwaite",
    seed: int | None = None,
    cited: bool = False,
) -> str:
    """Describe how results were computed: software with versions, methods, rows, seed.

    Parameters
    ----------
    results
        What each was for -> result, in the order of the paper.
    df_method
        As given to :func:`report` for the linear mixed models.
    seed
        Seed of the random numbers; required if a result used any.
    cited
        Whether software and methods are followed by citations for Pandoc and Quarto
        (``[@bates2015]``); :func:`bibliography` writes their references.

    Raises
    ------
    ValueError
        If a result depends on random numbers and no seed is given.

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
    said = [f"Analyses were run in Python {platform.python_version()} with {_software(cited)}."]
    said += [
        f"{name}: {account.method}{_citation(account.sources) if cited else ''}. "
        f"{account.rows or ''}".strip()
        for name, account in accounts.items()
    ]
    if seed is not None:
        said.append(f"Seed of random numbers: {seed}.")
    return " ".join(said)


def account_of(result: Accountable, df_method: DfMethod = "satterthwaite") -> Account:
    """Return a result's account; `df_method` is for linear mixed models."""
    if isinstance(result, LinearMixedModel):
        return result.account(df_method=df_method)
    return result.account()


def bibliography(
    results: Mapping[str, Accountable], *, df_method: DfMethod = "satterthwaite"
) -> str:
    """Return the publications of the results' methods, and of the software, as BibTeX.

    Parameters
    ----------
    results
        What each was for -> result, as for :func:`methods_paragraph`.
    df_method
        As given to :func:`report` for the linear mixed models.

    Returns
    -------
    str
        The text of a ``.bib`` file, an entry for each key that
        ``methods_paragraph(..., cited=True)`` cites, in the order of the keys.

    Examples
    --------
    >>> from alliance_stats import bibliography, endings, example_study, kaplan_meier
    >>> families = endings(example_study()).units
    >>> curves = kaplan_meier(families, time="time", event="event")
    >>> [line for line in bibliography({"leaving": curves}).splitlines() if "kaplan" in line]
    ['@article{kaplan1958,']
    """
    require_kind(results, Mapping, asked="bibliography takes a mapping, {'Alliance': model}")
    for result in results.values():
        require_kind(result, Accountable, asked="bibliography takes results of this package")
    keys = [key for result in results.values() for key in account_of(result, df_method).sources]
    return entries_of([*keys, *(key for key in _PACKAGES.values() if key)])


def _software(cited: bool) -> str:
    return ", ".join(
        f"{package} {version(package)}{_citation((key,)) if cited and key else ''}"
        for package, key in _PACKAGES.items()
    )


def _citation(keys: tuple[str, ...]) -> str:
    return f" [{'; '.join(f'@{key}' for key in keys)}]" if keys else ""
