"""Import of models fitted by lifelines."""

from typing import Any

import lifelines
import numpy as np
import pandas as pd

from alliance_stats.association.brought_models import BroughtModel, ledger_of, no_one_response
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError, WrongObjectError
from alliance_stats.estimates import Coefficients
from alliance_stats.multilevel import Link

__all__ = ["from_lifelines"]

_UNASKED = (
    "its coefficients speak of hazards or times without a level to take means from. Fit it with "
    "cox_ph or discrete_hazard for curves, and compare by its ratios"
)


def from_lifelines(fitter: object) -> BroughtModel:
    """Import a regression fitted by lifelines, for use in tables, figures and sentences.

    Parameters
    ----------
    fitter
        A fitted ``CoxPHFitter``, ``CoxTimeVaryingFitter`` or accelerated-failure-time fitter
        (``WeibullAFTFitter``, ``LogNormalAFTFitter``, ``LogLogisticAFTFitter``).

    Returns
    -------
    BroughtModel
        ``tidy()`` has the coefficients (log hazard ratios, or log time ratios) with lifelines'
        standard errors, ``ratios()`` their exponentials. Inference after the fit is refused with
        the reason.

    Raises
    ------
    WrongObjectError
        Not a fitted lifelines regression.
    DataError
        A fitter that estimates curves, or was not fitted.

    Examples
    --------
    >>> import pandas as pd
    >>> from lifelines import CoxPHFitter
    >>> from alliance_stats import from_lifelines
    >>> data = pd.DataFrame(
    ...     {"weeks": [2, 4, 5, 7, 9, 12], "left": [1, 1, 0, 1, 1, 0], "x": [1, 0, 1, 1, 0, 0]}
    ... )
    >>> model = from_lifelines(CoxPHFitter().fit(data, "weeks", "left"))
    >>> list(model.ratios()["term"])
    ['x']
    """
    found: Any = fitter
    kind = type(found).__name__
    if not type(found).__module__.startswith("lifelines"):
        raise WrongObjectError(f"from_lifelines takes a fitter of lifelines; got {kind}.")
    if not hasattr(found, "params_") or not hasattr(found, "variance_matrix_"):
        raise DataError(
            f"{kind} has no coefficients: it estimates a curve, or was not fitted. Curves are "
            "kaplan_meier and cumulative_incidence here."
        )
    params, V = found.params_, np.asarray(found.variance_matrix_, dtype=np.float64)
    own = np.ones(len(params), dtype=bool)
    ratio = "hazard ratio" if kind.startswith("Cox") else None
    if isinstance(params.index, pd.MultiIndex):  # the first parameter is of the location
        main = params.index.get_level_values(0)
        own = np.asarray(main == main[0])
        ratio = "time ratio" if kind.endswith("AFTFitter") else ratio
    names = [_name(label, first=bool(mine)) for label, mine in zip(params.index, own, strict=True)]
    errors = np.sqrt(np.diag(V))
    values = params.to_numpy(dtype=np.float64)
    estimates = Coefficients(
        [name for name, mine in zip(names, own, strict=True) if mine],
        values[own],
        V[np.ix_(own, own)],
    )
    others = pd.DataFrame(
        {
            "term": [name for name, mine in zip(names, own, strict=True) if not mine],
            "estimate": values[~own],
            "std_error": errors[~own],
        }
    )
    robust = bool(getattr(found, "robust", False))
    return BroughtModel(
        f"lifelines {lifelines.__version__}",
        kind,
        _formula(found),
        "robust" if robust else "",
        estimates,
        others,
        Link("its own", no_one_response, no_one_response, ratio),
        _facts(found),
        None,
        _UNASKED,
        Convergence(True, 0, np.nan, 0, "lifelines refuses what does not converge"),
        ledger_of(len(found.durations) if hasattr(found, "durations") else _rows(found), 0),
    )


def _name(label: object, *, first: bool) -> str:
    if isinstance(label, tuple):
        parameter, column = (str(part) for part in label)
        return _constant(column) if first else f"{parameter}: {_constant(column)}"
    return _constant(str(label))


def _constant(name: str) -> str:
    return "(Intercept)" if name in ("Intercept", "_intercept") else name


def _formula(found: Any) -> str:
    outcome = getattr(found, "duration_col", None) or getattr(found, "stop_col", None) or "time"
    formula = getattr(found, "formula", None)
    return f"{outcome} ~ {formula}" if isinstance(formula, str) else str(outcome)


def _rows(found: Any) -> int:
    return int(getattr(found, "_n_examples", len(getattr(found, "event_observed", []))))


def _facts(found: Any) -> dict[str, float]:
    names = {"log_lik": "log_likelihood_", "concordance": "concordance_index_"}
    names["aic"] = "AIC_partial_" if hasattr(found, "AIC_partial_") else "AIC_"
    facts = {}
    for name, theirs in names.items():
        value = getattr(found, theirs, None)
        if value is not None and np.isfinite(value):
            facts[name] = float(value)
    events = getattr(found, "event_observed", None)
    if events is not None:
        facts["n_event"] = float(np.asarray(events).sum())
    return facts
