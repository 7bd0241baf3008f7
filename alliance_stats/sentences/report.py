"""Any result in sentences: its account, written by the common renderer."""

from collections.abc import Mapping
from typing import get_args

from alliance_stats.account import Accountable, as_sentences
from alliance_stats.checks import check_choice, check_conf_level
from alliance_stats.errors import WrongObjectError
from alliance_stats.multilevel import DfMethod, LinearMixedModel

__all__ = ["report"]


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
    if isinstance(result, Accountable):
        # a result with a level of its own (compare_with) is asked for another only on wish
        asked = {} if conf_level == 0.95 else {"conf_level": conf_level}
        return as_sentences(result.account(**asked), words=words, decimal=decimal)
    raise WrongObjectError(f"report() has no sentences for {type(result).__name__}.")
