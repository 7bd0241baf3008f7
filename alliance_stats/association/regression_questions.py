"""Inference after a regression: pure functions of its fit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg, stats

from alliance_stats.account import Column, Section
from alliance_stats.association.goodness_of_fit import r_squared_of, spans_constant
from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.design.design import Design, code_new_rows
from alliance_stats.engine.degrees_of_freedom import ConstantDf
from alliance_stats.engine.sandwich import ClusterRobust, RowVariances, cr2, turned
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers, wald_interval
from alliance_stats.multilevel import GeneralizedFit, Inference, LinearFit, inference_on

__all__ = [
    "Clusters",
    "Fit",
    "augmented",
    "coefficient_section",
    "collinearity",
    "few_clusters",
    "inference",
    "influence",
    "joint_test",
    "method",
    "notes",
    "partial_correlations",
    "predicted",
    "refuse_df_method",
    "sizes",
    "standardised",
    "steps_over_clusters",
    "whole_over_clusters",
]

VCOVS = ("classical", "HC3", "CR2")
Fit = LinearFit | GeneralizedFit
_FEW_CLUSTERS = 10
_WHOLE = 1.0 - 1e-10  # a leverage from which a row is fitted whatever its outcome
_TIGHT = 10.0  # a variance inflation that is worth a note (Cohen, Cohen, West & Aiken 2003, ch. 10)


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Which rows are not independent: the column and each row's cluster."""

    column: str
    codes: Integers


@dataclass(frozen=True, slots=True, eq=False)
class _Working:
    """The working linear model of the fit's last step.

    Attributes
    ----------
    weights, residuals
        (n,) working weights, and ``(y - mu) / (dmu/deta)``.
    fitted
        (n,) expected outcomes.
    bread
        (p, p) ``(X'WX)^-1``.
    """

    weights: Array
    residuals: Array
    fitted: Array
    bread: Array


def inference(fit: Fit, clusters: Clusters | None, kind: str | None) -> Inference:
    """Prepare inference by a named covariance: CR2 where there are clusters, by default."""
    chosen = kind or ("classical" if clusters is None else "CR2")
    check_choice(chosen, VCOVS, name="vcov")
    plain = inference_on(fit)
    if isinstance(fit, LinearFit):
        residual = ConstantDf(float(len(fit.design.y) - len(fit.beta)))
        plain = replace(plain, df_method="residual", method=residual)
    if chosen == "classical":
        return plain
    if chosen == "CR2":
        if clusters is None:
            raise ValueError("vcov='CR2' needs clusters: give cluster= to regression().")
        robust = _cluster_robust(fit, clusters.codes)
        return Inference("CR2", robust, fit.design, fit.beta, robust.vcov, fit.sigma)
    covariance = _hc3(fit)
    return replace(plain, covariance=covariance)


def refuse_df_method(df_method: str | None) -> None:
    """Refuse a df method: a regression has its own."""
    if df_method is not None:
        raise ValueError(
            f"df_method={df_method!r} is for linear mixed models; a regression has residual df, "
            "or those of CR2 with cluster=: leave df_method out."
        )


def coefficient_section(table: pd.DataFrame, *, ratio: str | None, conf_level: float) -> Section:
    """Return a table of coefficients as a section, each with its ratio where it is one."""
    if not np.isfinite(table["df"]).any():
        table = table.drop(columns="df")
    also = {}
    if ratio is not None:
        own = table["term"] != "(Intercept)"
        with np.errstate(over="ignore"):
            table = table.assign(
                ratio=np.exp(table["estimate"].where(own)),
                ratio_low=np.exp(table["conf_low"].where(own)),
                ratio_high=np.exp(table["conf_high"].where(own)),
            )
        also = {"ratio": Column(ratio, "ratio", "ratio_low", "ratio_high")}
    statistic = "t" if "df" in table else "z"
    return Section(
        "Coefficient", table, ("term",), measure="b", statistic=statistic, columns=also,
        conf_level=conf_level,
    )  # fmt: skip


def joint_test(found: Inference, terms: Sequence[str]) -> pd.DataFrame:
    """Test that some coefficients are zero together, in one row."""
    names = _kept_names(found.design)
    unknown = [term for term in terms if term not in names]
    if unknown or not terms:
        name = unknown[0] if unknown else ""
        raise DataError(f"'{name}' is no estimated coefficient. {did_you_mean(name, names)}")
    C = np.eye(len(names))[[names.index(term) for term in dict.fromkeys(terms)]]
    test = found.f_test(C)
    return pd.DataFrame(
        [
            {
                "term": ", ".join(dict.fromkeys(terms)),
                "statistic": test.statistic,
                "df1": test.df1,
                "df2": test.df2,
                "p_value": float(stats.f.sf(test.statistic, test.df1, test.df2)),
            }
        ]
    )


def whole_over_clusters(table: pd.DataFrame, fit: Fit, clusters: Clusters) -> pd.DataFrame:
    """Replace the test of a model's row, which takes rows as independent, by that under CR2."""
    constant = fit.design.root_weights[:, None]
    within = constant if spans_constant(fit.design) else constant[:, :0]
    return _tested_again(table, [_robust_test(fit, clusters, within)])


def steps_over_clusters(
    table: pd.DataFrame, steps: Sequence[tuple[str, Fit]], clusters: Clusters
) -> pd.DataFrame:
    """Replace the tests of steps, which take rows as independent, by those under CR2."""
    first = steps[0][1].design
    constant = first.root_weights[:, None]
    before = constant if spans_constant(first) else constant[:, :0]
    tests = []
    for _, fit in steps:
        tests.append(_robust_test(fit, clusters, before))
        before = fit.design.X
    return _tested_again(table, tests)


def _robust_test(fit: Fit, clusters: Clusters, within: Array) -> dict[str, float]:
    """Test under CR2 that the fit lies in the span of the columns `within`.

    With X A = `within`, it does if C b = 0, the rows of C spanning what is orthogonal to A. NaN
    where nothing is added, or the clusters are too few for so many coefficients.
    """
    lengths = np.linalg.norm(fit.design.X, axis=0)  # units of columns must not matter
    unit = within / np.linalg.norm(within, axis=0)
    A = np.linalg.lstsq(fit.design.X / lengths, unit, rcond=None)[0]
    C = (linalg.null_space(A.T).T if A.shape[1] else np.eye(len(A))) * lengths
    none = dict.fromkeys(("statistic", "df1", "df2", "p_value"), np.nan)
    if not len(C):
        return none
    try:
        test = inference(fit, clusters, "CR2").f_test(C)
    except NotIdentifiedError:
        return none | {"df1": float(len(C))}
    p_value = float(stats.f.sf(test.statistic, test.df1, test.df2))
    return {"statistic": test.statistic, "df1": test.df1, "df2": test.df2, "p_value": p_value}


def _tested_again(table: pd.DataFrame, tests: Sequence[dict[str, float]]) -> pd.DataFrame:
    """Put tests where those of independent rows stood."""
    at = table.columns.get_loc("statistic")
    rest = table.drop(columns=["statistic", "df", "df1", "df2", "p_value"], errors="ignore")
    again = pd.DataFrame(list(tests), index=table.index)
    return pd.concat([rest.iloc[:, :at], again, rest.iloc[:, at:]], axis=1)


def standardised(fit: LinearFit, table: pd.DataFrame) -> pd.DataFrame:
    """Return coefficients and limits in SDs of the outcome per SD of each column."""
    sds = dict(zip(_kept_names(fit.design), fit.design.X.std(axis=0, ddof=1), strict=True))
    kept = table[table["term"] != "(Intercept)"]
    factor = kept["term"].map(sds).to_numpy(dtype=float) / float(fit.design.y.std(ddof=1))
    numbers = {
        name: kept[name].to_numpy() * factor for name in ("estimate", "conf_low", "conf_high")
    }
    return pd.DataFrame({"term": kept["term"].to_numpy(), **numbers})


def partial_correlations(fit: LinearFit) -> pd.DataFrame:
    """Return partial and semipartial correlations of each column with the outcome."""
    plain = inference_on(fit)
    error = np.sqrt(np.diag(plain.covariance))
    t = fit.beta / error
    names = _kept_names(fit.design)
    r2, _, df = r_squared_of(fit)
    keep = [i for i, name in enumerate(names) if name != "(Intercept)"]
    return pd.DataFrame(
        {
            "term": [names[i] for i in keep],
            "partial": t[keep] / np.sqrt(t[keep] ** 2 + df),
            "semipartial": t[keep] * np.sqrt((1.0 - r2) / df),
        }
    )


def collinearity(fit: Fit) -> pd.DataFrame:
    """Return the generalized variance inflation of each term."""
    design = fit.design
    weights = design.root_weights**2
    position = {int(column): place for place, column in enumerate(design.fixed.kept)}
    terms = [
        (
            term.name,
            [position[c] for c in range(term.columns.start, term.columns.stop) if c in position],
        )
        for term in design.fixed.coding.terms
        if term.factors
    ]
    terms = [(name, own) for name, own in terms if own]
    if len(terms) < 2:
        raise NotIdentifiedError("Variance inflation needs two terms or more beside the constant.")
    shown = [column for _, own in terms for column in own]
    centred = design.X[:, shown]
    if spans_constant(design):
        centred = centred - weights @ centred / weights.sum()
    scaled = centred * design.root_weights[:, None]
    R = scaled.T @ scaled
    spread = np.sqrt(np.diag(R))
    R = R / np.outer(spread, spread)
    whole = np.linalg.slogdet(R)[1]
    rows, start = [], 0
    for name, own in terms:
        inside = np.arange(start, start + len(own))
        start += len(own)
        outside = np.setdiff1d(np.arange(len(shown)), inside)
        parts = [np.linalg.slogdet(R[np.ix_(s, s)])[1] for s in (inside, outside)]
        vif = float(np.exp(sum(parts) - whole))
        rows.append(
            {"term": name, "vif": vif, "df": len(own), "vif_per_df": vif ** (0.5 / len(own))}
        )
    return pd.DataFrame(rows)


def influence(fit: LinearFit) -> pd.DataFrame:
    """Return leverage, deleted studentised residual and Cook's distance of each row."""
    working, design = _working(fit), fit.design
    leverage = _leverage(fit, working)
    n, p = design.X.shape
    e = working.residuals * np.sqrt(working.weights)
    s2 = fit.sigma**2
    with np.errstate(divide="ignore", invalid="ignore"):
        without = ((n - p) * s2 - e**2 / (1.0 - leverage)) / (n - p - 1)
        studentised = e / np.sqrt(np.maximum(without, 0.0) * (1.0 - leverage))
        cooks = e**2 * leverage / (p * s2 * (1.0 - leverage) ** 2)
    return pd.DataFrame(
        {"leverage": leverage, "residual_studentised": studentised, "cooks_distance": cooks},
        index=design.index,
    )


def predicted(
    fit: Fit, found: Inference, newdata: pd.DataFrame, interval: str | None, conf_level: float
) -> pd.DataFrame:
    """Return expected outcomes of new rows, with limits if requested."""
    check_conf_level(conf_level)
    linear = isinstance(fit, LinearFit)
    allowed = ("confidence", "prediction") if linear else ("confidence",)
    if interval is not None:
        check_choice(interval, allowed, name="interval")
    rows = code_new_rows(fit.design, newdata, with_units=False)
    C, eta = rows.X, rows.X @ fit.beta + rows.offset
    mean = eta if isinstance(fit, LinearFit) else fit.family.mean(eta)
    table = pd.DataFrame({"estimate": mean}, index=newdata.index)
    if interval is None:
        return table
    variance = found.variances(C)
    if interval == "prediction":
        variance = variance + fit.sigma**2
    error = np.sqrt(variance)
    low, high = wald_interval(eta, error, df=found.df(C), conf_level=conf_level)
    if not isinstance(fit, LinearFit):
        error = error * np.abs(fit.family.mean_slope(eta))
        low, high = fit.family.mean(low), fit.family.mean(high)
    return table.assign(std_error=error, conf_low=low, conf_high=high)


def augmented(fit: Fit) -> pd.DataFrame:
    """Return the columns used with fitted values and residuals of the outcome."""
    fitted = _working(fit).fitted
    columns = {"fitted": fitted, "residual": fit.design.y - fitted}
    if isinstance(fit, LinearFit):
        scale = fit.design.root_weights / fit.sigma
        columns["residual_standardised"] = columns["residual"] * scale
    return fit.design.beside(pd.DataFrame(columns, index=fit.design.index))


def method(fit: Fit, clusters: Clusters | None) -> str:
    """Return what was fitted, in a phrase."""
    if isinstance(fit, LinearFit):
        name = "linear regression"
    else:
        name = "logistic regression" if fit.family.name == "binomial" else "Poisson regression"
    robust = "" if clusters is None else f", CR2 standard errors over clusters of {clusters.column}"
    return f"{name}: {fit.design.formula.text}{robust}"


def notes(fit: Fit, clusters: Clusters | None) -> tuple[str, ...]:
    """Return what must be known before reading, worst first."""
    found = []
    if not fit.convergence.converged:
        found.append(
            "NOT CONVERGED: the search stopped before its maximum; do not use the numbers."
        )
    aliased = fit.design.fixed.aliased
    if aliased:
        found.append(f"Not estimable, since other columns determine them: {', '.join(aliased)}.")
    found += few_clusters(clusters)
    if isinstance(fit, GeneralizedFit) and fit.family.name == "poisson":
        working = _working(fit)
        pearson = float(working.weights @ working.residuals**2)
        df = len(fit.design.y) - len(fit.design.fixed.kept)
        if df > 0 and stats.chi2.sf(pearson, df) < 1e-3:
            found.append(
                f"The counts vary {pearson / df:.1f} times as much as a Poisson distribution has "
                "it: classical standard errors are too small. Use vcov='HC3' or cluster=."
            )
    return tuple(found)


def few_clusters(clusters: Clusters | None) -> tuple[str, ...]:
    """Say what having few clusters means."""
    n = _FEW_CLUSTERS if clusters is None else int(clusters.codes.max()) + 1
    if clusters is None or n >= _FEW_CLUSTERS:
        return ()
    return (
        f"There are {n} clusters of {clusters.column}: with so few, look at the df of each "
        "coefficient; below 4 its p-value is not to be relied on.",
    )


def sizes(fit: Fit, clusters: Clusters | None) -> dict[str, float]:
    """Return what was counted."""
    counted: dict[str, float] = {"rows": len(fit.design.y)}
    if clusters is not None:
        counted["clusters"] = int(clusters.codes.max()) + 1
    return counted


def _working(fit: Fit) -> _Working:
    X = fit.design.X
    if isinstance(fit, LinearFit):
        weights = fit.design.root_weights**2
        fitted = X @ fit.beta + (fit.design.offset if fit.design.offset is not None else 0.0)
        return _Working(weights, fit.design.y - fitted, fitted, fit.vcov / fit.sigma**2)
    eta = fit.fixed_part
    mu, slope = fit.family.mean(eta), fit.family.mean_slope(eta)
    variance = mu * (1.0 - mu) if fit.family.name == "binomial" else mu
    return _Working(slope**2 / variance, (fit.design.y - mu) / slope, mu, fit.vcov)


def _basis(fit: Fit) -> Array:
    """Return the fit's working columns B, (n, p), with ``X = B R``.

    Years and their squares are nearly one column: products of X itself lose the digits that a
    covariance needs.
    """
    return np.asarray((fit.design.Q / fit.design.root_weights).T)


def _leverage(fit: Fit, working: _Working) -> Array:
    U, _ = np.linalg.qr(_basis(fit) * np.sqrt(working.weights)[:, None])
    return np.asarray((U**2).sum(axis=1))


def _hc3(fit: Fit) -> Array:
    """Return ``(X'WX)^-1 X'W diag(e^2 / (1 - h)^2) WX (X'WX)^-1``.

    MacKinnon & White 1985, doi:10.1016/0304-4076(85)90158-7.
    """
    working = _working(fit)
    root = np.sqrt(working.weights)
    U, S = np.linalg.qr(_basis(fit) * root[:, None])
    leverage = (U**2).sum(axis=1)
    if (leverage > _WHOLE).any():
        raise NotIdentifiedError(
            "A row is fitted without error whatever its outcome (its leverage is 1): HC3 is not "
            "defined. Leave out the term that this row alone determines."
        )
    scores = U * (root * working.residuals / (1.0 - leverage))[:, None]
    turn = linalg.solve_triangular(fit.design.fixed.R, np.linalg.inv(S))
    return np.asarray(turn @ (scores.T @ scores) @ turn.T)


def _cluster_robust(fit: Fit, clusters: Integers) -> ClusterRobust:
    """Return CR2; for non-linear models on the scale of the outcome, as in clubSandwich."""
    B, working = _basis(fit), _working(fit)
    slope = np.ones(len(B))
    if not isinstance(fit, LinearFit):
        slope = fit.family.mean_slope(fit.fixed_part)
    variance = slope**2 / working.weights
    columns, left = B * slope[:, None], working.residuals * slope
    order = np.argsort(clusters, kind="stable")
    rows = np.split(order, np.cumsum(np.bincount(clusters))[:-1])
    robust = cr2(
        [columns[own] for own in rows],
        [left[own] for own in rows],
        [RowVariances(variance[own]) for own in rows],
    )
    R = fit.design.fixed.R
    return turned(robust, linalg.solve_triangular(R, np.eye(len(R))))


def _kept_names(design: Design) -> list[str]:
    return [design.fixed.names[i] for i in design.fixed.kept]
