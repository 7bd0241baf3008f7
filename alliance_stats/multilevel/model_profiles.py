"""Profile likelihood of a fit's parameters: SDs, correlations, coefficients, shares of variance.

SDs and correlations are profiled on their own scale, so an interval may end at zero or at -1 or 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import linalg, optimize, stats

from alliance_stats.account import Account, Section, html_of, parameter_words, summary_of
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.design.groupings import back_transform
from alliance_stats.engine.criterion import solve
from alliance_stats.engine.likelihood_rise import reach
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.linear_fit import LinearFit, in_units, ml_refit
from alliance_stats.multilevel.parameter_tables import named_parameters
from alliance_stats.named import named

__all__ = ["Curve", "Profile", "profile_fit", "profile_shares"]

# A share is followed to within this of 0 or 1, where theta would be infinite.
EDGE = 1e-6
# Relative SDs from which the other levels' search starts besides the fitted ones.
AWAY = 0.5
# An SD at zero has this share of the residual SD as its scale.
SMALL_SHARE = 0.05


class Curve(NamedTuple):
    """The rise in deviance along one parameter.

    Attributes
    ----------
    rise
        Value -> rise in deviance, minimised over all other parameters.
    low, high
        The range of values that it can take.
    unit
        Its own scale, for steps.
    furthest
        Distance from zero beyond which a limit counts as infinite.
    """

    rise: Callable[[float], float]
    low: float
    high: float
    unit: float
    furthest: float = np.inf


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
        For each parameter, the rise in deviance along it.
    rows
        The fit's row ledger.
    """

    likelihood: str
    estimates: pd.Series
    curves: dict[str, Curve]
    rows: RowLedger

    __repr__ = one_line

    def rise(self, term: str, values: Sequence[float]) -> Array:
        """Return by how much the deviance rises at each of `values` of a parameter."""
        return np.array([self.curves[term].rise(float(value)) for value in values])

    def tidy(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Return ``term, estimate, conf_low, conf_high, method``, one row per parameter."""
        bound = float(stats.chi2.ppf(check_conf_level(conf_level), 1))
        ends = [
            [
                reach(
                    curve.rise,
                    float(self.estimates[term]),
                    end,
                    bound=bound,
                    unit=curve.unit,
                    furthest=curve.furthest,
                )
                for end in (curve.low, curve.high)
            ]
            for term, curve in self.curves.items()
        ]
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

    @property
    def method(self) -> str:
        """Whose likelihood was profiled."""
        return f"{self.likelihood} profile intervals"

    @property
    def notes(self) -> tuple[str, ...]:
        """Return no notes: a fit that did not converge has no profile."""
        return ()

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the intervals as data."""
        table = self.tidy(conf_level=conf_level)
        table["term"] = table["term"].map(parameter_words)
        found = Section("Parameter", table, names=("term",), conf_level=conf_level)
        return Account.of(self, {"rows": self.rows.n_used}, (found,), sources=("venzon1988",))

    summary = summary_of
    _repr_html_ = html_of


def profile_fit(
    fit: LinearFit, *, terms: Sequence[str] | None = None, likelihood: str | None = None
) -> Profile:
    """Profile the deviance of a fit; see :func:`~alliance_stats.multilevel.profile`."""
    _check_can_be_profiled(fit)
    names = [str(fit.design.fixed.names[i]) for i in fit.design.fixed.kept]
    random = list(named_parameters(fit))
    kind = likelihood or ("REML" if fit.problem.reml else "ML")
    chosen = list(terms) if terms is not None else random + (names if kind == "ML" else [])
    for term in chosen:
        if term not in [*names, *random]:
            raise DataError(f"No parameter '{term}'. {did_you_mean(term, [*names, *random])}")
        if term in names and kind == "REML":
            raise DataError(
                f"'{term}' is a coefficient, and the restricted likelihood has none: ask for "
                "likelihood='ML'."
            )
    if kind == "REML" and not fit.problem.reml:
        raise DataError("The fit is ML; fit with reml=True for a REML profile.")
    held = ml_refit(fit) if kind == "ML" else fit
    values = {**named_parameters(held), **dict(zip(names, held.beta, strict=True))}
    curves = {
        term: _coefficient_curve(held, names.index(term))
        if term in names
        else _random_curve(held, random.index(term))
        for term in chosen
    }
    return Profile(
        kind, pd.Series({term: values[term] for term in chosen}), curves, fit.design.rows
    )


def _check_can_be_profiled(fit: LinearFit) -> None:
    if fit.problem.shape is not None or fit.problem.known:
        raise NotIdentifiedError(
            "Profiles are made for models whose residuals are alike and of unknown variance; "
            "use parametric_bootstrap for this one."
        )
    if any(size > 2 for sizes in fit.template.blocks for size in sizes):
        raise NotIdentifiedError(
            "A term with three or more correlated effects cannot be profiled parameter by "
            "parameter; use parametric_bootstrap."
        )


def _full_deviance(fit: LinearFit, Lambda: Sequence[Array], sigma: float) -> float:
    """Deviance at given relative factors and residual SD, profiled over the coefficients only."""
    problem, relative = fit.problem, sigma / fit.units.outcome
    solution = solve(problem, in_units(fit, Lambda))
    profiled = problem.N * (1.0 + np.log(2.0 * np.pi * solution.rss / problem.N))
    at_sigma = problem.N * np.log(2.0 * np.pi * relative**2) + solution.rss / relative**2
    return float(solution.deviance - profiled + at_sigma)


def _factors(fit: LinearFit, parameters: Array) -> list[Array]:
    """Relative factors in the working basis from SDs and correlations (residual SD last)."""
    sigma = parameters[-1]
    found, position = [], 0
    for grouping in fit.design.groupings:
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


def _random_curve(fit: LinearFit, index: int) -> Curve:
    """Rise in deviance with one SD or correlation held."""
    values, is_correlation, scale = _random_values(fit)
    rise = partial(_random_rise, fit, index)
    if is_correlation[index]:
        return Curve(rise, -1.0, 1.0, max(abs(values[index]), 0.1))
    return Curve(rise, 0.0, np.inf, scale[index])


def _random_values(fit: LinearFit) -> tuple[Array, Booleans, Array]:
    """Return SDs and correlations, which of them are correlations, and their own sizes."""
    start = named_parameters(fit)
    is_correlation = np.array(["|cor__" in name for name in start])
    values = np.nan_to_num(np.array(list(start.values())))
    return values, is_correlation, np.where(is_correlation, 1.0, _own_scales(fit, values))


@named
def _random_rise(fit: LinearFit, index: int, value: float) -> float:
    values, is_correlation, scale = _random_values(fit)
    free = [i for i in range(len(values)) if i != index]
    # the residual SD alone cannot be zero
    lowest = np.where(is_correlation, -1.0, 0.0)
    lowest[-1] = 1e-3
    bounds = [(lowest[i], 1.0 if is_correlation[i] else None) for i in free]

    def objective(z: Array) -> float:
        parameters = values.copy()
        parameters[free] = z * scale[free]
        parameters[index] = value
        return _full_deviance(fit, _factors(fit, parameters), parameters[-1])

    begin = values[free] / scale[free]
    begin = np.where(is_correlation[free], np.clip(begin, -0.95, 0.95), np.maximum(begin, 0.05))
    found = optimize.minimize(
        objective, begin, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13}
    )
    return max(float(found.fun) - fit.deviance, 0.0)


def _own_scales(fit: LinearFit, values: Array) -> Array:
    """Size of each SD, or a size detectable beside the residual where it is about zero."""
    telling = []
    for grouping in fit.design.groupings:
        for basis in grouping.terms:
            q = len(basis.names)
            telling += list(1.0 / np.linalg.norm(basis.R, axis=0)) + [1.0] * (q * (q - 1) // 2)
    telling_sds = values[-1] / fit.units.weight * np.array(telling)
    return np.maximum(np.abs(values), SMALL_SHARE * np.append(telling_sds, values[-1]))


def _coefficient_curve(fit: LinearFit, column: int) -> Curve:
    """Rise in ML deviance with one coefficient held."""
    unit = float(np.sqrt(fit.vcov[column, column]))
    return Curve(partial(_coefficient_rise, fit, column), -np.inf, np.inf, unit)


@named
def _coefficient_rise(fit: LinearFit, column: int, value: float) -> float:
    """Return the rise: the coefficient's square over its variance joins the rss."""
    problem, fixed, unit = fit.problem, fit.design.fixed, fit.units.outcome
    c = linalg.solve_triangular(fixed.R.T, np.eye(len(fixed.kept))[column], lower=True)
    offset = fixed.offset[column]
    Lambda = fit.minimum.Lambda
    theta_hat = problem.template.theta(Lambda)

    def objective(theta: Array) -> float:
        solution = solve(problem, problem.template.factors(theta))
        half = linalg.solve_triangular(solution.XX_factor, c, lower=True)
        distance = (value - offset) / unit - c @ solution.beta
        grown = 1.0 + distance**2 / (half @ half) / solution.rss
        return float(solution.deviance + problem.N * np.log(grown))

    # zero variances are always stationary: the search also starts away from them
    away = problem.template.theta([factor + 0.3 * np.eye(len(factor)) for factor in Lambda])
    ends = [
        optimize.minimize(objective, start, method="L-BFGS-B", options={"ftol": 1e-13}).fun
        for start in (theta_hat, away)
    ]
    return max(float(min(ends)) - fit.deviance, 0.0)


def profile_shares(fit: LinearFit) -> Profile:
    """Profile each level's share of the variance, the residual's last.

    With relative variances ``w_j = theta_j^2`` and ``S`` their sum, level j has the share ``w_j /
    (1 + S)`` and the residual ``1 / (1 + S)``. A share s of level j is held by ``w_j = s / (1 - s)
    (1 + S_-j)`` with the other variances free, one of the residual by ``S = (1 - s) / s`` with the
    proportions free. The deviance is already profiled over the coefficients and sigma, so only
    those are left to minimise.

    Raises
    ------
    NotIdentifiedError
        A model with random slopes or a residual structure.
    """
    groupings = fit.design.groupings
    plain = all(grouping.names == ("(Intercept)",) for grouping in groupings)
    if not plain or fit.problem.shape is not None:
        raise NotIdentifiedError(
            "Shares are profiled in models of random intercepts with residuals alike; for this "
            "one ask for ci_method='bootstrap'."
        )
    unit = np.array([back_transform(grouping.terms)[0, 0] ** 2 for grouping in groupings])
    w = unit * np.array([factor[0, 0] ** 2 for factor in fit.Lambda])
    names = [*(grouping.name for grouping in groupings), "Residual"]
    shares = np.append(w, 1.0) / (1.0 + w.sum())
    curves = {
        name: Curve(partial(_share_rise, fit, unit, np.sqrt(w), place), 0.0, 1.0, max(share, 0.1))
        for place, (name, share) in enumerate(zip(names, shares, strict=True))
    }
    likelihood = "REML" if fit.problem.reml else "ML"
    return Profile(likelihood, pd.Series(shares, index=names), curves, fit.design.rows)


@named
def _share_rise(fit: LinearFit, unit: Array, sds: Array, place: int, share: float) -> float:
    """Rise in deviance with one share held: that of level `place`, or last the residual's."""
    k = len(sds)
    held = place if place < k else int(sds.argmax())
    free = np.delete(np.arange(k), held)
    fitted = sds[free] if place < k else sds[free] / (sds[held] or 1.0)

    share = min(max(share, EDGE if place == k else 0.0), 1.0 - EDGE)

    def relative_variances(z: Array) -> Array:
        w = np.ones(k)
        w[free] = z**2
        if place == k:
            return np.asarray((1.0 - share) / share * w / w.sum())
        w[place] = share / (1.0 - share) * (1.0 + w[free].sum())
        return w

    def objective(z: Array) -> float:
        sds = np.sqrt(relative_variances(z) / unit)
        return solve(fit.problem, in_units(fit, [np.array([[sd]]) for sd in sds])).deviance

    if not len(free):
        return max(objective(np.empty(0)) - fit.deviance, 0.0)
    # zero variances are always stationary: the search also starts away from them
    ends = [
        optimize.minimize(objective, start, method="L-BFGS-B", options={"ftol": 1e-13}).fun
        for start in (fitted, np.maximum(fitted, AWAY))
    ]
    return max(float(min(ends)) - fit.deviance, 0.0)
