"""Profile likelihood: how far a parameter can go before the data object.

For a value of one parameter the deviance is minimised over all others; the interval holds the
values whose deviance lies within the chi-squared(1) quantile of the minimum. SDs and correlations
are profiled on their own scale, so an interval may end at zero or at -1 or 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.criterion import Problem, solve
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.comparison import ml_refit
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear
from alliance_stats.multilevel.tidy_frames import sds_and_correlations

__all__ = ["Profile", "profile"]

# Relative accuracy of an interval's end, in units of the parameter's own scale.
END_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Profile:
    """Profiles of some parameters of a model.

    Attributes
    ----------
    likelihood
        ``"ML"`` or ``"REML"``: whose deviance was profiled.
    estimates
        The parameters at the minimum, indexed by name.
    curves
        For each parameter, its rise in deviance as a function of its value (all others
        minimised), and the range of values it can take.
    rows
        The fit's row ledger.
    """

    likelihood: str
    estimates: pd.Series
    curves: dict[str, tuple[Callable[[float], float], float, float]]
    rows: RowLedger

    __repr__ = one_line

    def rise(self, term: str, values: Sequence[float]) -> Array:
        """Return by how much the deviance rises at each of `values` of a parameter."""
        return np.array([self.curves[term][0](float(value)) for value in values])

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, conf_low, conf_high, method``, a row a parameter."""
        bound = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
        ends = [self._interval(str(term), bound) for term in self.estimates.index]
        return pd.DataFrame(
            {
                "term": list(self.estimates.index),
                "estimate": self.estimates.to_numpy(),
                "conf_low": [low for low, _ in ends],
                "conf_high": [high for _, high in ends],
                "method": f"profile ({self.likelihood})",
            }
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: which likelihood, how many parameters."""
        return pd.DataFrame([{"likelihood": self.likelihood, "n_parameters": len(self.estimates)}])

    def summary(self) -> str:
        """Return the intervals as text."""
        return f"{self.likelihood} profile intervals\n\n{self.tidy().to_string(index=False)}"

    def _interval(self, term: str, bound: float) -> tuple[float, float]:
        rise, lowest, highest = self.curves[term]
        centre = float(self.estimates[term])
        return (
            _end(rise, centre, lowest, bound, step=-1.0),
            _end(rise, centre, highest, bound, step=1.0),
        )


def profile(
    model: LinearMixedModel,
    *,
    terms: Sequence[str] | None = None,
    likelihood: str | None = None,
) -> Profile:
    """Profile the deviance of SDs, correlations and coefficients.

    Parameters
    ----------
    model
        A fitted linear mixed model without residual structure.
    terms
        Names of parameters: coefficients as in ``tidy()``; random parameters as
        ``"group|sd__(Intercept)"``, the residual SD as ``"Residual|sd__Observation"``. All that
        can be profiled if not given.
    likelihood
        ``"ML"`` or ``"REML"``. By default the fit's own for random parameters; coefficients have an
        ML profile only (the restricted likelihood is free of them), and a REML fit is refitted by
        ML for them. (lme4's ``profile`` of a REML fit is the ML profile.)

    Returns
    -------
    Profile
        With ``tidy(conf_level=...)``.

    Raises
    ------
    DataError
        An unknown parameter; a coefficient under REML.
    NotIdentifiedError
        A model with a residual structure, known variances, or a term of three or more correlated
        effects: ask for a parametric bootstrap.
    """
    require_linear(model, asked="profile takes")
    if likelihood is not None:
        check_choice(likelihood, ("ML", "REML"), name="likelihood")
    if isinstance(terms, str):
        raise TypeError(f"terms takes a list of names, as [{terms!r}]; got {terms!r}.")
    if model.problem.shape is not None or model.problem.known:
        raise NotIdentifiedError(
            "Profiles are made for models whose residuals are alike and of unknown variance; "
            "use parametric_bootstrap for this one."
        )
    if any(size > 2 for sizes in model.problem.template.blocks for size in sizes):
        raise NotIdentifiedError(
            "A term with three or more correlated effects cannot be profiled parameter by "
            "parameter; use parametric_bootstrap."
        )
    names = [str(model.design.fixed.names[i]) for i in model.design.fixed.kept]
    random = list(_random_parameters(model).index)
    kind = likelihood or ("REML" if model.reml else "ML")
    chosen = list(terms) if terms is not None else random + (names if kind == "ML" else [])
    for term in chosen:
        if term not in [*names, *random]:
            raise DataError(f"No parameter '{term}'. {did_you_mean(term, [*names, *random])}")
        if term in names and kind == "REML":
            raise DataError(
                f"'{term}' is a coefficient, and the restricted likelihood has none: ask for "
                "likelihood='ML'."
            )
    if kind == "REML" and not model.reml:
        raise DataError("The fit is ML; fit with reml=True for a REML profile.")
    fit = ml_refit(model) if kind == "ML" else model
    estimates = pd.concat([_random_parameters(fit), fit.beta.dropna()])
    curves = {
        term: _coefficient_curve(fit, names.index(term))
        if term in names
        else _random_curve(fit, random.index(term))
        for term in chosen
    }
    return Profile(kind, estimates[chosen], curves, model.rows)


def _random_parameters(model: LinearMixedModel) -> pd.Series:
    """SDs and correlations by name, the residual SD last."""
    values = {}
    for grouping, factor in zip(model.design.groupings, model.fit.Lambda, strict=True):
        half = back_transform(grouping.terms) @ factor * model.sigma
        for term, value in zip(*sds_and_correlations(grouping, half @ half.T), strict=True):
            values[f"{grouping.name}|{term}"] = value
    values["Residual|sd__Observation"] = model.sigma
    return pd.Series(values)


def _full_deviance(problem: Problem, Lambda: Sequence[Array], sigma: float) -> float:
    """Deviance at given relative factors and residual SD, profiled over the coefficients only."""
    solution = solve(problem, Lambda)
    profiled = problem.N * (1.0 + np.log(2.0 * np.pi * solution.rss / problem.N))
    at_sigma = problem.N * np.log(2.0 * np.pi * sigma**2) + solution.rss / sigma**2
    return float(solution.deviance - profiled + at_sigma)


def _factors(model: LinearMixedModel, parameters: Array) -> list[Array]:
    """Relative factors in the working basis from SDs and correlations (residual SD last)."""
    sigma = parameters[-1]
    found, position = [], 0
    for grouping in model.design.groupings:
        blocks = []
        for basis in grouping.terms:
            q = len(basis.names)
            sds = parameters[position : position + q]
            block = np.diag(sds)
            if q == 2:
                rho = parameters[position + 2]
                block = np.array([[sds[0], 0.0], [rho * sds[1], np.sqrt(1 - rho**2) * sds[1]]])
            position += q + q * (q - 1) // 2
            blocks.append(basis.R @ block / sigma)
        found.append(linalg.block_diag(*blocks))
    return found


def _random_curve(
    model: LinearMixedModel, index: int
) -> tuple[Callable[[float], float], float, float]:
    """Rise in deviance with one SD or correlation held."""
    start = _random_parameters(model)
    is_correlation = np.array(["|cor__" in str(name) for name in start.index])
    values = np.nan_to_num(start.to_numpy())
    scale = np.where(is_correlation, 1.0, np.maximum(np.abs(values), 0.05 * values[-1]))
    free = [i for i in range(len(values)) if i != index]
    bounds = [(-1.0, 1.0) if is_correlation[i] else (0.0, None) for i in free]
    bounds[-1:] = [(1e-3, None)] if index != len(values) - 1 else bounds[-1:]

    def deviance_at(parameters: Array) -> float:
        return _full_deviance(model.problem, _factors(model, parameters), parameters[-1])

    lowest = model.fit.deviance

    def rise(value: float) -> float:
        def objective(z: Array) -> float:
            parameters = values.copy()
            parameters[free] = z * scale[free]
            parameters[index] = value
            return deviance_at(parameters)

        begin = np.clip(
            values[free] / scale[free], [b[0] for b in bounds], [b[1] or np.inf for b in bounds]
        )
        begin = np.where(is_correlation[free], np.clip(begin, -0.95, 0.95), np.maximum(begin, 0.05))
        found = optimize.minimize(
            objective, begin, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13}
        )
        return max(float(found.fun) - lowest, 0.0)

    is_cor = bool(is_correlation[index])
    return rise, (-1.0 if is_cor else 0.0), (1.0 if is_cor else np.inf)


def _coefficient_curve(
    model: LinearMixedModel, column: int
) -> tuple[Callable[[float], float], float, float]:
    """Rise in ML deviance with one coefficient held: its square over its variance joins the rss."""
    problem, fixed = model.problem, model.design.fixed
    c = linalg.solve_triangular(fixed.R.T, np.eye(len(fixed.kept))[column], lower=True)
    offset = fixed.offset[column]
    Lambda = model.fit.Lambda
    theta_hat = problem.template.theta(Lambda)
    lowest = model.fit.deviance

    def rise(value: float) -> float:
        def objective(theta: Array) -> float:
            solution = solve(problem, problem.template.factors(theta))
            half = linalg.solve_triangular(solution.XX_factor, c, lower=True)
            distance = value - offset - c @ solution.beta
            grown = 1.0 + distance**2 / (half @ half) / solution.rss
            return float(solution.deviance + problem.N * np.log(grown))

        # zero variances are always stationary: the search also starts away from them
        away = problem.template.theta([factor + 0.3 * np.eye(len(factor)) for factor in Lambda])
        ends = [
            optimize.minimize(objective, start, method="L-BFGS-B", options={"ftol": 1e-13}).fun
            for start in (theta_hat, away)
        ]
        return max(float(min(ends)) - lowest, 0.0)

    return rise, -np.inf, np.inf


def _end(
    rise: Callable[[float], float], centre: float, limit: float, bound: float, *, step: float
) -> float:
    """Where the rise reaches `bound` on one side, or the parameter's own limit."""
    stride = 0.1 * max(abs(centre), 1e-2)
    inner, outer = centre, centre
    for _ in range(60):
        inner, outer = outer, centre + step * stride
        if step * (outer - limit) >= 0:
            outer = limit
        if rise(outer) >= bound:
            found = optimize.brentq(
                lambda value: np.sqrt(rise(value)) - np.sqrt(bound),
                inner,
                outer,
                xtol=END_TOLERANCE * max(abs(centre), 1e-2),
            )
            return float(found)
        if outer == limit:
            return float(limit)
        stride *= 1.7
    return step * np.inf
