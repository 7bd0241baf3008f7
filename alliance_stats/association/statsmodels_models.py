"""Models fitted by statsmodels: what is imported, and how their formula is read here."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import statsmodels
from scipy import linalg, special

from alliance_stats.association.brought_models import (
    BroughtModel,
    Reading,
    ledger_of,
    no_one_response,
)
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import OwnColumn, bound_formula, formula_of, parse_formula
from alliance_stats.door import replaced
from alliance_stats.engine.degrees_of_freedom import ConstantDf
from alliance_stats.engine.search import Convergence
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError, WrongObjectError
from alliance_stats.estimates import LINK_WORDS, Array, Coefficients
from alliance_stats.multilevel import Inference, Link, coefficients
from alliance_stats.named import named

__all__ = ["from_statsmodels"]

_SAME = 1e-8  # of a column's length, under which two codings of it are one
_LOG = ("Poisson", "NegativeBinomial", "NegativeBinomialP", "GeneralizedPoisson")
_LINEAR = ("OLS", "WLS", "GLS", "GLSAR", "RLM", "MixedLM")
_LINKS = {"Identity": "identity", "Logit": "logit", "Log": "log", "CLogLog": "cloglog",
          "Probit": "probit"}  # fmt: skip
_NO_FORMULA = (
    "it was fitted from arrays, so that which columns belong to one predictor is not known. Fit it "
    "with a formula (statsmodels.formula.api)"
)


def from_statsmodels(results: object) -> BroughtModel:
    """Import a model fitted by statsmodels, for use in tables, figures and sentences.

    Parameters
    ----------
    results
        What ``.fit()`` returned: OLS, WLS, GLS, RLM, GLM, GEE, Logit, Probit, Poisson, negative
        binomial, ordered, mixed linear, proportional hazards and others with one coefficient per
        column.

    Returns
    -------
    BroughtModel
        Every estimate, standard error and df is statsmodels'. Where it was fitted with a formula
        that this package reads, coefficients have this package's names and ``estimated_means``,
        ``contrasts``, ``simple_slopes``, ``johnson_neyman``, ``comparisons`` and ``r_squared`` take
        it; otherwise a request says why not.

    Raises
    ------
    WrongObjectError
        Not a fitted statsmodels model.
    DataError
        Several equations at once (MNLogit, VAR), or coefficients without a covariance.

    Notes
    -----
    The columns that statsmodels fitted are compared with those that the formula gives here; the
    coefficients are turned into those of this package's columns only where both span the same.

    Examples
    --------
    >>> import statsmodels.formula.api as smf
    >>> from alliance_stats import contrasts, estimated_means, example_study, from_statsmodels
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> model = from_statsmodels(smf.ols("symptoms ~ alliance + role", last).fit(cov_type="HC3"))
    >>> len(contrasts(estimated_means(model, "role")).tidy())
    6
    """
    fitted: Any = results
    model: Any = getattr(fitted, "model", None)
    if model is None or not type(fitted).__module__.startswith("statsmodels"):
        raise WrongObjectError(
            f"from_statsmodels takes what .fit() of statsmodels returned; got "
            f"{type(results).__name__}."
        )
    kind = type(model).__name__
    names, b, V, others = _parameters(fitted, model, kind)
    link, ratio_reason = _link(fitted, model, kind)
    read, why = (None, ratio_reason) if ratio_reason else _read(model, kind, b, V, others)
    df = _df(fitted)
    estimates = Coefficients(names, b, V, df)
    if read is not None:
        whole = _own_names(read, b, df)
        estimates = estimates if whole is None else whole
        names = list(estimates.terms)
    shown = others[["term", "estimate", "std_error"]]
    nobs = len(np.asarray(model.endog))
    dropped = getattr(model.data, "missing_row_idx", None)
    return BroughtModel(
        f"statsmodels {statsmodels.__version__}",
        kind,
        str(getattr(model, "formula", None) or f"{model.endog_names} on {len(names)} columns"),
        {"nonrobust": ""}.get(str(getattr(fitted, "cov_type", "nonrobust")), fitted.cov_type)
        if hasattr(fitted, "cov_type")
        else "",
        estimates,
        shown,
        link,
        _facts(fitted, kind),
        read,
        why,
        _convergence(fitted),
        ledger_of(nobs, 0 if dropped is None else len(dropped)),
    )


def _parameters(fitted: Any, model: Any, kind: str) -> tuple[list[str], Array, Array, pd.DataFrame]:
    """Return names, coefficients, covariance, and the further parameters with their weights.

    The further ones have a column ``row``: their place in the joint covariance that the frame
    carries as ``attrs["joint"]``.
    """
    if not hasattr(fitted, "cov_params"):
        raise DataError(f"This fit ({type(fitted).__name__}) has no covariance of coefficients.")
    params = np.asarray(fitted.params, dtype=np.float64)
    if params.ndim != 1 or isinstance(model.exog_names, dict) or model.exog is None:
        raise DataError(f"{kind} has several equations: bring each outcome's model by itself.")
    V = np.asarray(fitted.cov_params(), dtype=np.float64)
    names = ["(Intercept)" if n in ("Intercept", "const") else str(n) for n in model.exog_names]
    k = np.asarray(model.exog).shape[1]
    further = [str(name) for name in list(getattr(model, "param_names", []))[k:]]
    if kind == "OrderedModel":
        return _ordered(model, names, params, V, k)
    if kind == "MixedLM":
        spread = np.asarray(fitted.cov_re)
        labels = [f"var {name}" for name in model.data.exog_re_names]
        rows = [*zip(labels, np.diag(spread), strict=True), ("var Residual", float(fitted.scale))]
        further_frame = pd.DataFrame(rows, columns=["term", "estimate"]).assign(std_error=np.nan)
        return names[:k], params[:k], V[:k, :k], further_frame
    names = names[:k]
    further = further or [f"parameter {i + 1}" for i in range(len(params) - k)]
    if len(model.exog_names) > k:
        further = [str(name) for name in model.exog_names[k:]]
    own = np.sqrt(np.diag(V)[k:])
    frame = pd.DataFrame({"term": further[: len(params) - k], "estimate": params[k:],
                          "std_error": own})  # fmt: skip
    return names, params[:k], V[:k, :k], frame


def _ordered(
    model: Any, names: list[str], params: Array, V: Array, k: int
) -> tuple[list[str], Array, Array, pd.DataFrame]:
    """Turn the first threshold and log distances into thresholds."""
    m = len(params) - k
    J = np.zeros((m, m))
    J[:, 0] = 1.0
    for i in range(1, m):
        J[i:, i] = np.exp(params[k + i])
    first, steps = params[k], np.exp(params[k + 1 :])
    thresholds = first + np.concatenate([[0.0], np.cumsum(steps)])
    T = linalg.block_diag(np.eye(k), J)
    joint = T @ V @ T.T
    labels = [str(name) for name in model.labels] if hasattr(model, "labels") else []
    pairs = [f"{a}|{b}" for a, b in itertools.pairwise(labels)]
    pairs = pairs if len(pairs) == m else [f"threshold {i + 1}" for i in range(m)]
    frame = pd.DataFrame({"term": pairs, "estimate": thresholds,
                          "std_error": np.sqrt(np.diag(joint)[k:])})  # fmt: skip
    frame.attrs["joint"] = joint
    return names[:k], params[:k], joint[:k, :k], frame


def _df(fitted: Any) -> float:
    """Return the df of t tests; infinite where statsmodels has z tests."""
    if not getattr(fitted, "use_t", False):
        return np.inf
    own = getattr(fitted, "df_resid_inference", None)
    return float(own if own is not None else fitted.df_resid)


def _link(fitted: Any, model: Any, kind: str) -> tuple[Link, str]:
    """Return the link, and why inference is impossible where it has none here."""
    if kind in _LINEAR:
        return Link("identity", np.asarray, np.ones_like, None), ""
    if kind == "PHReg":
        return Link("log hazard", np.exp, np.exp, "hazard ratio"), (
            "a proportional hazards model has no baseline level to take means from; its "
            "coefficients are the contrasts"
        )
    name = "log" if kind in _LOG else kind.lower() if kind in ("Logit", "Probit") else ""
    if kind == "OrderedModel":
        name = {"logistic": "logit", "norm": "probit"}.get(getattr(model.distr, "name", ""), "")
        ratio = "cumulative odds ratio" if name == "logit" else None
        if name:
            return Link(name, no_one_response, no_one_response, ratio), ""
    if hasattr(model, "family") and hasattr(model.family, "link"):
        name = _LINKS.get(type(model.family.link).__name__, "")
    own = _MEANS.get(name)
    if own is None:
        said = f"its link or its kind ({kind}) has no expected response here"
        return Link("its own", no_one_response, no_one_response, None), said
    del fitted
    return Link(name, *own, LINK_WORDS[name].ratio), ""


@named
def _logit_slope(eta: Array) -> Array:
    return np.asarray(special.expit(eta) * special.expit(-eta))


@named
def _normal_density(eta: Array) -> Array:
    return np.asarray(np.exp(-(eta**2) / 2.0) / np.sqrt(2.0 * np.pi))


@named
def _hazard(eta: Array) -> Array:
    return np.asarray(-np.expm1(-np.exp(eta)))


@named
def _hazard_slope(eta: Array) -> Array:
    return np.asarray(np.exp(eta - np.exp(eta)))


_MEANS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "identity": (np.asarray, np.ones_like),
    "logit": (special.expit, _logit_slope),
    "log": (np.exp, np.exp),
    "cloglog": (_hazard, _hazard_slope),
    "probit": (special.ndtr, _normal_density),
}


def _read(
    model: Any, kind: str, b: Array, V: Array, others: pd.DataFrame
) -> tuple[Reading | None, str]:
    """Read the model's formula here, and turn its coefficients into those of these columns."""
    formula = getattr(model, "formula", None)
    frame = _frame_used(model)
    if formula is None or frame is None:
        return None, _NO_FORMULA
    if getattr(model, "offset", None) is not None and np.any(np.asarray(model.offset) != 0.0):
        return None, "it has an offset or an exposure that its formula does not show"
    outcome = OwnColumn("outcome")
    try:
        bound = bound_formula(parse_formula(str(formula)), list(frame.columns))
        endog = np.asarray(model.endog, dtype=np.float64).reshape(len(frame), -1)[:, 0]
        own = formula_of(outcome, bound.fixed)
        coded = replaced(frame, {outcome: endog})
        design, _ = build_design(own, coded, residual_variance=False)
    except (FormulaError, DataError, NotIdentifiedError, ValueError) as fault:
        return None, f"its formula is not read here ({str(fault).rstrip('.')})"
    design = replace(design, formula=bound)
    theirs = np.asarray(model.exog, dtype=np.float64)
    joint = others.attrs.get("joint")
    if joint is not None:  # the constant stands for the thresholds
        theirs = np.column_stack([theirs, np.ones(len(theirs))])
        m, k = len(others), len(b)
        T = np.zeros((k + 1, k + m))
        T[:k, :k], T[k, k:] = np.eye(k), -1.0 / m
        b, V = np.append(b, -others["estimate"].mean()), T @ joint @ T.T
    if len(design.X) != len(theirs):
        return None, "its rows are not those that the formula gives here"
    scale = np.linalg.norm(theirs, axis=0)
    turn, *_ = linalg.lstsq(design.X, theirs)
    off = np.linalg.norm(theirs - design.X @ turn, axis=0)
    if (off > _SAME * np.maximum(scale, 1e-300)).any() or np.linalg.matrix_rank(turn) < len(turn):
        return None, f"its columns ({kind}) are not those that the formula gives here"
    turn = np.where(np.abs(turn) < _SAME, 0.0, turn)
    near = np.abs(turn - np.round(turn)) < _SAME
    turn = np.where(near, np.round(turn), turn)
    return Reading(design, turn @ b, turn @ V @ turn.T), ""


def _frame_used(model: Any) -> pd.DataFrame | None:
    frame, dropped = (
        getattr(model.data, "frame", None),
        getattr(model.data, "missing_row_idx", None),
    )
    if frame is None or dropped is None or len(frame) == len(np.asarray(model.endog)):
        return frame
    return frame.iloc[np.setdiff1d(np.arange(len(frame)), np.asarray(dropped))]


def _own_names(read: Reading, b: Array, df: float) -> Coefficients | None:
    """Return the coefficients by this package's names, where both have the same ones."""
    found = coefficients(
        Inference("", ConstantDf(df), read.design, read.beta, read.covariance, 1.0)
    )
    own = np.ones(len(found.terms), dtype=bool)
    if np.isfinite(found.estimate).sum() > len(b):  # thresholds stand for the constant
        own = np.array([term != "(Intercept)" for term in found.terms])
    kept = found.estimate[own & np.isfinite(found.estimate)]
    if not np.array_equal(np.sort(kept), np.sort(b)):
        return None
    terms = [term for term, shown in zip(found.terms, own, strict=True) if shown]
    return Coefficients(terms, found.estimate[own], found.vcov[np.ix_(own, own)], df)


def _facts(fitted: Any, kind: str) -> dict[str, float]:
    """Return what statsmodels reports about the fit, under this package's names."""
    names = {
        "r2": "rsquared", "r2_adjusted": "rsquared_adj", "log_lik": "llf", "aic": "aic",
        "df_residual": "df_resid",
    }  # fmt: skip
    if kind in ("Logit", "Probit", "Poisson"):  # others fit a null model for it
        names["r2_mcfadden"] = "prsquared"
    found = {}
    for name, theirs in names.items():
        value: Any = getattr(fitted, theirs, None)
        if isinstance(value, float | int) and np.isfinite(value):
            found[name] = float(value)
    return found


def _convergence(fitted: Any) -> Convergence:
    record = getattr(fitted, "mle_retvals", None)
    said = record.get("converged", True) if isinstance(record, dict) else True
    converged = bool(getattr(fitted, "converged", said)) and bool(said)
    return Convergence(converged, 0, np.nan, 0, "as statsmodels says")
