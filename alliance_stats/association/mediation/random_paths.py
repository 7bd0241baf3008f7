"""Paths within units that vary between units: random slopes, or slopes that units moderate.

Mediator and outcome are stacked and fitted together, so that random paths have a covariance: the
indirect effect within the average unit is ``a b + cov(a_j, b_j)`` (Kenny, Korchmaros & Bolger 2003,
doi:10.1037/1082-989X.8.2.115; Bauer, Preacher & Gil 2006, doi:10.1037/1082-989X.11.2.142).
Treatment and mediator are deviations from their units' means; the treatment's means enter both
equations, and the intercepts of both covary freely, so that no path between units mixes in. (The
mediator's means in addition to that covariance would be redundant.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.association.mediation.asked import Asked
from alliance_stats.association.mediation.equations import Effect, Leg, Paths, Way, times
from alliance_stats.association.mediation.stacked_likelihood import (
    StackedDeviance,
    stacked_deviance,
)
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import format_alone, format_number
from alliance_stats.multilevel import LinearMixedModel, VarianceBy, lmm

__all__ = ["RandomPaths", "fit_random_paths"]

_SLOPES = {"a": "m:x", "b": "y:m", "c": "y:x"}  # path -> its column
_RANK = 1e-7  # of an eigenvalue of the (standardised) covariance, under which it is none


@dataclass(frozen=True, slots=True, eq=False)
class RandomPaths:
    """Paths within units, and the covariance of random ones.

    Attributes
    ----------
    asked, slopes
        The specification, and which paths are random: ``"a"``, ``"b"``, ``"c"``.
    table
        ``level, from, to, place``.
    paths
        The paths.
    places
        Name of a column (or ``"cov"``) -> place of its path.
    model
        The stacked mixed model, in SDs of the variables.
    spreads
        SD of each random path over the units.
    correlation
        Of random a and b; NaN unless both are random and vary.
    """

    asked: Asked
    slopes: tuple[str, ...]
    table: pd.DataFrame
    paths: Paths
    places: Mapping[str, int]
    model: LinearMixedModel
    spreads: Mapping[str, float]
    correlation: float

    def ways(self) -> tuple[Way, ...]:
        """Return indirect, direct and total effect within units."""
        m, places = self.asked.mediators[0], self.places
        indirect = times(self._leg("m:x"), self._leg("y:m"))
        if "cov" in places:
            indirect = (*indirect, (0, (places["cov"],)))
        direct = self._leg("y:x")
        return (
            Way(f"indirect through {m}", "within", indirect),
            Way("direct", "within", direct),
            Way("total", "within", (*indirect, *direct)),
        )

    def indices(self) -> tuple[Effect, ...]:
        """Return the index of moderated mediation (Hayes 2015)."""
        if len(set(self.asked.moderates) & {"a", "b"}) != 1:
            return ()
        pair = ("m:x:w", "y:m") if "a" in self.asked.moderates else ("m:x", "y:m:w")
        parts = ((1.0, (self.places[pair[0]], self.places[pair[1]])),)
        term = self.asked.index_term(self.asked.mediators[0])
        return (Effect(term, "within", np.nan, parts),)

    def _leg(self, name: str) -> Leg:
        own, product = (0, (self.places[name],)), self.places.get(f"{name}:w")
        return (own,) if product is None else (own, (1, (product,)))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What should be read with the numbers."""
        found = []
        if self.model.singular:
            found.append(
                "A variance of the random paths, or a correlation of them, is on its boundary: "
                "errors are those of the model without it. The bootstrap does not rest on them."
            )
        found.append(
            "These are effects within units. Those between units are of the model without random "
            "slopes and moderators."
        )
        if self.slopes:
            sds = ", ".join(f"{k} {format_alone(v)}" for k, v in self.spreads.items())
            text = f"SDs of the random paths over the units: {sds}"
            if np.isfinite(self.correlation):
                text += f"; correlation of a and b {format_number(self.correlation)}"
            found.append(f"{text}.")
        return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class _Stack:
    """Mediator and outcome stacked, with the columns of both equations.

    Attributes
    ----------
    fixed, random
        Name -> column of 2n rows.
    z, strata, units
        The stacked outcomes, 0 for the mediator's rows and 1 for the outcome's, and the units.
    scales
        Name of a path's column -> multiplier of its coefficient.
    shift
        Mean and SD of the moderator, which is standardised.
    """

    fixed: dict[str, Array]
    random: dict[str, Array]
    z: Array
    strata: Integers
    units: Integers
    scales: dict[str, float]
    shift: tuple[float, float]


def fit_random_paths(
    asked: Asked,
    columns: Mapping[str, Array],
    units: Integers,
    slopes: Sequence[str],
    *,
    clusters: Integers | None = None,
    errors: bool = True,
) -> RandomPaths:
    """Fit the stacked model.

    Parameters
    ----------
    asked
        The specification, with one mediator.
    columns, units
        The columns' values, and the unit of each row, from 0.
    slopes
        Which paths are random.
    clusters
        Cluster of each unit, for robust errors.
    errors
        Whether errors are needed; a resample does without.

    Raises
    ------
    NotIdentifiedError
        Several mediators, a mediator or treatment without variation within units, too few units.
    """
    if len(asked.mediators) > 1:
        raise NotIdentifiedError(
            "Random slopes and moderators of paths within units are here for one mediator: fit "
            "each separately."
        )
    stack = _stacked(asked, columns, units, slopes)
    J = int(units.max()) + 1
    if len(stack.random) + 1 >= J:
        raise NotIdentifiedError(
            f"{J} units are too few for {len(stack.random)} random effects of a unit and their "
            "covariances. Leave some of random_slopes= out."
        )
    frame = pd.DataFrame({f"f{i}": c for i, c in enumerate(stack.fixed.values())})
    frame = frame.assign(
        **{f"r{i}": c for i, c in enumerate(stack.random.values())},
        z=stack.z, unit=stack.units, which=np.where(stack.strata == 0, "m", "y"),
    )  # fmt: skip
    fixed = " + ".join(f"f{i}" for i in range(len(stack.fixed)))
    random = " + ".join(f"r{i}" for i in range(len(stack.random)))
    model = lmm(
        f"z ~ 0 + {fixed} + (0 + {random} | unit)", frame, reml=False, residual=VarianceBy("which")
    )
    return _read(asked, stack, model, tuple(slopes), clusters, errors=errors)


def _stacked(
    asked: Asked, columns: Mapping[str, Array], units: Integers, slopes: Sequence[str]
) -> _Stack:
    """Build the columns of both equations, in SDs."""
    x, m, y = asked.treatment, asked.mediators[0], asked.outcome
    sd = {name: float(columns[name].std()) for name in (x, m, y)}
    X, M, Y = ((columns[name] - columns[name].mean()) / sd[name] for name in (x, m, y))
    own_x, own_m = (_deviation(values, units) for values in (X, M))
    level: dict[str, Array] = {"x mean": X - own_x}
    for name in asked.covariates:
        values = (columns[name] - columns[name].mean()) / columns[name].std()
        inner = _deviation(values, units)
        parts = {f"{name} within": inner, f"{name} mean": values - inner}
        level |= {k: part for k, part in parts.items() if part.std() > 1e-9}
    shift = (0.0, 1.0)
    within = {"m": {"m:x": own_x}, "y": {"y:m": own_m, "y:x": own_x}}
    if asked.moderator is not None:
        w = columns[asked.moderator]
        shift = (float(w.mean()), float(w.std()))
        w = (w - shift[0]) / shift[1]
        level["w"] = w
        for path, key in (("a", "m:x"), ("b", "y:m"), ("c", "y:x")):
            if path in asked.moderates:
                within[key[0]][f"{key}:w"] = within[key[0]][key] * w
    nothing = np.zeros(len(X))
    fixed = {"m": np.r_[np.ones(len(X)), nothing], "y": np.r_[nothing, np.ones(len(X))]}
    fixed |= {name: np.r_[values, nothing] for name, values in within["m"].items()}
    fixed |= {name: np.r_[nothing, values] for name, values in within["y"].items()}
    fixed |= {f"m: {name}": np.r_[values, nothing] for name, values in level.items()}
    fixed |= {f"y: {name}": np.r_[nothing, values] for name, values in level.items()}
    fixed = {k: c for k, c in fixed.items() if np.abs(c).max() > 1e-9}
    wanted = ["m", "y", *(_SLOPES[path] for path in slopes)]
    scales = {"m:x": sd[m] / sd[x], "y:m": sd[y] / sd[m], "y:x": sd[y] / sd[x]}
    strata = np.repeat(np.arange(2, dtype=np.int64), len(X))
    return _Stack(
        fixed, {k: fixed[k] for k in wanted}, np.r_[M, Y], strata, np.r_[units, units], scales,
        shift,
    )  # fmt: skip


def _deviation(values: Array, units: Integers) -> Array:
    return np.asarray(values - (np.bincount(units, weights=values) / np.bincount(units))[units])


def _read(
    asked: Asked,
    stack: _Stack,
    model: LinearMixedModel,
    slopes: tuple[str, ...],
    clusters: Integers | None,
    *,
    errors: bool,
) -> RandomPaths:
    """Turn the model's numbers into paths in the caller's units, with their joint covariance."""
    names = list(stack.fixed)
    beta = model.beta.to_numpy(dtype=np.float64)
    if not np.isfinite(beta).all():
        lost = names[int(np.flatnonzero(~np.isfinite(beta))[0])]
        raise NotIdentifiedError(f"The columns of the model tell one another ('{lost}').")
    D = model.covariances()["unit"].to_numpy(dtype=np.float64)
    rank = max(int((linalg.eigvalsh(D) > _RANK).sum()), 1)
    likelihood = stacked_deviance(
        np.column_stack(list(stack.random.values())), np.column_stack(list(stack.fixed.values())),
        stack.z, stack.strata, stack.units, rank,
    )  # fmt: skip
    table = model.tidy(effects="ran_pars")
    sigma = table.loc[table["group"] == "Residual"].sort_values("level")["estimate"].to_numpy()
    theta = likelihood.packed(beta, D, sigma)
    wanted = _Wanted(likelihood, names, list(stack.random), stack.scales, stack.shift, slopes)
    estimate = wanted(theta)
    V, df = np.zeros((len(estimate),) * 2), np.full(len(estimate), np.inf)
    J = int(stack.units.max()) + 1
    if errors:
        H, slope = likelihood.information(theta), wanted.slopes(theta)
        V = slope @ linalg.solve(H, slope.T)
        own = len([name for name in names if name.startswith("y: ")])
        random = [i for i, name in enumerate(wanted.keys) if wanted.varies(name)]
        df[random] = max(J - 1 - own, 1)
        if clusters is not None:
            G = int(clusters.max()) + 1
            scores = -0.5 * likelihood.slopes(theta)[1]
            summed = np.array([np.bincount(clusters, weights=c) for c in scores.T]).T
            shares = summed @ linalg.solve(H, slope.T)
            V, df = shares.T @ shares * G / (G - 1.0), np.full(len(estimate), G - 1.0)
    places = {name: i for i, name in enumerate(wanted.keys)}
    spread = dict(zip(stack.random, np.sqrt(np.diag(likelihood.covariance(theta))), strict=True))
    sds = {path: float(spread[_SLOPES[path]]) * stack.scales[_SLOPES[path]] for path in slopes}
    r = np.nan
    if "cov" in places and sds["a"] > 0 and sds["b"] > 0:
        r = float(estimate[places["cov"]]) / (sds["a"] * sds["b"])
    return RandomPaths(
        asked, slopes, _table(asked, places), Paths(estimate, V, df), places, model, sds, r
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The paths, in the caller's units, as a function of the stacked model's parameters."""

    likelihood: StackedDeviance
    fixed: list[str]
    random: list[str]
    scales: Mapping[str, float]
    shift: tuple[float, float]
    slopes_of: tuple[str, ...]

    @property
    def keys(self) -> list[str]:
        """Names of the paths."""
        found = [name for name in self.fixed if name.removesuffix(":w") in self.scales]
        return [*found, "cov"] if {"a", "b"} <= set(self.slopes_of) else found

    def varies(self, key: str) -> bool:
        """Return whether a path has an error over units, not over rows."""
        random = [_SLOPES[path] for path in self.slopes_of]
        return key == "cov" or key.removesuffix(":w") in random

    def __call__(self, theta: Array) -> Array:
        """Return the paths."""
        beta = dict(zip(self.fixed, theta[: len(self.fixed)], strict=True))
        mean, sd = self.shift
        found = []
        for key in self.keys:
            if key == "cov":
                D = self.likelihood.covariance(theta)
                i, j = (self.random.index(_SLOPES[path]) for path in "ab")
                found.append(D[i, j] * self.scales["m:x"] * self.scales["y:m"])
            elif key.endswith(":w"):
                found.append(beta[key] / sd * self.scales[key.removesuffix(":w")])
            else:
                at_mean = beta.get(f"{key}:w", 0.0) * mean / sd
                found.append((beta[key] - at_mean) * self.scales[key])
        return np.array(found)

    def slopes(self, theta: Array) -> Array:
        """Return the derivatives by the parameters; the paths are quadratic in them."""
        steps = 1e-3 * np.eye(len(theta))
        return np.array([(self(theta + h) - self(theta - h)) / 2e-3 for h in steps]).T


def _table(asked: Asked, places: Mapping[str, int]) -> pd.DataFrame:
    x, m, y, w = asked.treatment, asked.mediators[0], asked.outcome, asked.moderator
    ends = {"m:x": (x, m), "y:m": (m, y), "y:x": (x, y)}
    rows = []
    for key, place in places.items():
        if key == "cov":
            rows.append(("within", f"cov({x} on {m}; {m} on {y})", y, place))
        else:
            source, target = ends[key.removesuffix(":w")]
            shown = f"{source} x {w}" if key.endswith(":w") else source
            rows.append(("within", shown, target, place))
    return pd.DataFrame(rows, columns=["level", "from", "to", "place"])
