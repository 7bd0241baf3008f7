"""From rows and a specification to a result: on one level, in units, natural effects, a hazard."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.association.mediation.asked import Asked, Case, Drawn, Natural, shown_pair
from alliance_stats.association.mediation.counterfactuals import Counterfactuals, counterfactuals
from alliance_stats.association.mediation.equations import (
    Equations,
    Paths,
    Products,
    fit_equations,
    indices_of,
    ways_of,
)
from alliance_stats.association.mediation.hazard_outcome import HazardOutcome, fit_hazard
from alliance_stats.association.mediation.mediated_levels import (
    MediatedLevels,
    fit_levels,
    level_design,
)
from alliance_stats.association.mediation.mediation_result import Mediation, effect_frame
from alliance_stats.association.mediation.path_intervals import (
    Block,
    Levels,
    Rise,
    resampled,
    said_of_lost,
)
from alliance_stats.association.mediation.random_paths import RandomPaths, fit_random_paths
from alliance_stats.association.regression_model import LinearRegression
from alliance_stats.checks import finite_or_missing, group_codes, units_with_several
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers

__all__ = ["in_units", "natural_on_one_level", "of_hazard", "on_one_level"]

_FEW_UNITS = 30
_FEW_CLUSTERS = 20
_STILL = 1e-10  # of the sum of squares, within clusters that do not differ inside
_TOLD = 0.05
_NOTHING = (np.nan, np.nan)
Fitted = MediatedLevels | RandomPaths


def on_one_level(case: Case, drawn: Drawn, at: Sequence[float] | None) -> Mediation:
    """Return products of paths of linear equations on the same rows."""
    asked = case.asked
    found = fit_equations(
        asked, case.frame, families=("linear", "linear"), cluster=case.cluster, interaction=False
    )
    theta, remarks = (
        found.paths.draws(drawn.n, drawn.rng),
        (*_mixed(case), *_two_values(case, asked.targets)),
    )
    said = f"Monte Carlo intervals ({drawn.n:,} draws)"
    if drawn.intervals == "bootstrap":
        codes = np.arange(len(case.frame))
        if case.cluster is not None:
            codes = group_codes(case.frame[case.cluster])[0]
        theta, lost = _counted(found, codes, drawn)
        remarks = (*said_of_lost(lost, drawn.n), *remarks)
        what = "rows" if case.cluster is None else f"whole {case.cluster}s"
        said = f"bootstrap of {what} ({drawn.n:,} draws)"
    rise = None
    if drawn.intervals == "profile":
        if case.cluster is not None:
            raise NotIdentifiedError(
                "A profile is of a likelihood of independent rows: with cluster= ask for Monte "
                "Carlo intervals or the bootstrap."
            )
        rise, said = _profile(found), "profile intervals"
    over = "" if case.cluster is None else f", CR2 errors over clusters of {case.cluster}"
    return _result(
        case, f"{case.named} by least squares{over}, {said}", found.table(),
        Products(found.paths, theta, ways_of(found), indices_of(found), case.at(at)), rise=rise,
        errors=_errors(asked, found), remarks=remarks,
    )  # fmt: skip


def in_units(
    case: Case, slopes: tuple[str, ...], drawn: Drawn, at: Sequence[float] | None
) -> Mediation:
    """Return paths within and between units; within alone where they are random or moderated."""
    case, columns = _numbers(case)
    unit = str(case.unit)
    codes, labels = group_codes(case.frame[unit])
    design = level_design(case.asked, columns, codes, unit)
    if slopes and design != "1-1-1":
        raise NotIdentifiedError(
            f"random_slopes= are of paths within units, which a {design} design has not."
        )
    fit = partial(_fit_units, case.asked, design, slopes)
    clusters = _clusters_of_units(case)
    found = fit(columns, codes, clusters=clusters)
    lost, rise = 0, None
    if drawn.intervals == "bootstrap":
        theta, lost, said = _units_resampled(case, columns, fit, drawn)
    else:
        theta = found.paths.draws(drawn.n, drawn.rng)
        said = f"Monte Carlo intervals ({drawn.n:,} draws)"
    if drawn.intervals == "profile":
        rise, said = _profile_of_levels(found, case.cluster), "profile intervals"
    over = "" if case.cluster is None else f", robust errors over clusters of {case.cluster}"
    model = "two-level model with latent means"
    if isinstance(found, RandomPaths):
        which = f" with random {', '.join(slopes)}" if slopes else ""
        model = f"stacked mixed model of mediator and outcome{which}"
    how = (
        f"{case.named}, {design} in {len(labels)} units of {unit}: {model}, maximum "
        f"likelihood{over}, {said}"
    )
    n_clusters = None if clusters is None else int(clusters.max()) + 1
    remarks = said_of_lost(lost, drawn.fewer(20)) + _said_of_few(case, len(labels), n_clusters)
    if isinstance(found, RandomPaths):
        remarks += found.remarks
    return _result(
        case, how, found.table,
        Products(found.paths, theta, found.ways(), found.indices(), case.at(at)), rise=rise,
        remarks=remarks,
    )  # fmt: skip


def _units_resampled(
    case: Case, columns: dict[str, Array], fit: Callable[..., Fitted], drawn: Drawn
) -> tuple[Array, int, str]:
    """Return estimates of resamples of whole units, how many were lost, and what was done."""
    unit, n = str(case.unit), drawn.fewer(20)

    def refit(frame: pd.DataFrame) -> Array:
        own = {name: frame[name].to_numpy(dtype=np.float64) for name in columns}
        return fit(own, group_codes(frame[unit])[0], errors=False).paths.estimate

    by = case.cluster or unit
    frame = case.frame.assign(**columns)
    theta, lost = resampled(frame, refit, by=by, units=unit, n=n, rng=drawn.rng)
    return theta, lost, f"bootstrap of whole {by}s ({n:,} draws)"


def _said_of_few(case: Case, n_units: int, n_clusters: int | None) -> tuple[str, ...]:
    remarks: tuple[str, ...] = ()
    if n_units < _FEW_UNITS:
        remarks += (
            f"There are {n_units} units of {case.unit}: what is between so few is told "
            "roughly, and a path of theirs that is not found may be there.",
        )
    if n_clusters is not None and n_clusters < _FEW_CLUSTERS:
        remarks += (
            f"There are {n_clusters} clusters of {case.cluster}: robust errors of so few "
            "are told roughly, even with t.",
        )
    return remarks


def natural_on_one_level(
    case: Case, how: Natural, drawn: Drawn, at: Sequence[float] | None
) -> Mediation:
    """Return natural effects of two regressions on the same rows."""
    how = how if case.arms is None else replace(how, values=None)
    values = case.at(at)

    def fit(frame: pd.DataFrame) -> tuple[Equations, Counterfactuals]:
        found = fit_equations(
            case.asked, frame, families=(how.mediator, how.outcome), cluster=case.cluster,
            interaction=how.interaction,
        )  # fmt: skip
        outcome = found.fits[-1].design
        return found, counterfactuals(case, how, found, outcome, found.paths, frame, values)

    found, effects = fit(case.frame)
    low, high = shown_pair(effects.pair, case.arms)
    what = {"linear": "mean", "logistic": "probability", "poisson": "expected count"}
    text = (
        f"{case.named}: natural effects on the {what[how.outcome]}, {how.scale}s, "
        f"{case.asked.treatment} from {low} to {high} ({how.mediator} mediator, {how.outcome} "
        f"outcome{_crossed(how)}), averaged over the rows"
    )
    pinned = replace(how, values=effects.pair)

    def refit(frame: pd.DataFrame) -> Array:
        own = fit_equations(
            case.asked, frame, families=(how.mediator, how.outcome), cluster=None,
            interaction=how.interaction,
        )  # fmt: skip
        outcome = own.fits[-1].design
        return counterfactuals(case, pinned, own, outcome, own.paths, frame, values).estimate()

    return _natural_result(case, text, found.table(), effects, drawn, refit, by=case.cluster)


def of_hazard(
    case: Case, hazard: HazardOutcome, how: Natural, drawn: Drawn, at: Sequence[float] | None
) -> Mediation:
    """Return natural effects on who is still there, or on the number of sessions."""
    how = how if case.arms is None else replace(how, values=None)
    values = case.at(at)
    _, effects, table = fit_hazard(case, hazard, how, values)
    low, high = shown_pair(effects.pair, case.arms)
    first, last = effects.reach
    what = (
        f"probability of staying beyond session {last}"
        if hazard.measure == "survival"
        else f"expected number of sessions from {first} to {last}"
    )
    text = (
        f"{case.named}: natural effects on the {what}, {how.scale}s, {case.asked.treatment} from "
        f"{low} to {high} ({how.mediator} mediator, discrete-time hazard, {hazard.link} link, "
        f"{hazard.baseline} baseline{_crossed(how)}), averaged over the units"
    )
    pinned, own = replace(how, values=effects.pair), replace(hazard, horizon=last)

    def refit(frame: pd.DataFrame) -> Array:
        plain = replace(case, frame=frame, cluster=None)
        return fit_hazard(plain, own, pinned, values)[1].estimate()

    by = case.cluster or hazard.unit
    return _natural_result(case, text, table, effects, drawn, refit, by=by)


def _crossed(how: Natural) -> str:
    return ", treatment and mediator in interaction" if how.interaction else ""


def _natural_result(  # noqa: PLR0917
    case: Case,
    how: str,
    table: pd.DataFrame,
    effects: Counterfactuals,
    drawn: Drawn,
    refit: Callable[[pd.DataFrame], Array],
    *,
    by: str | None,
) -> Mediation:
    """Draw natural effects, and omit shares of totals that may be zero."""
    linear = [m for m in case.asked.mediators if effects.models[0].mediator == "linear"]
    remarks = _two_values(case, linear)
    if drawn.intervals == "bootstrap":
        n = drawn.fewer(20)
        draws, lost = resampled(case.frame, refit, by=by, units=case.unit, n=n, rng=drawn.rng)
        said = f"bootstrap of {'rows' if by is None else f'whole {by}s'} ({n:,} draws)"
        remarks = (*said_of_lost(lost, n), *remarks)
    else:
        n = drawn.fewer(10)
        draws, said = effects.draws(n, drawn.rng), f"{n:,} draws of both models"
    estimate, frame = effects.estimate(), effects.frame
    for i in np.flatnonzero(frame["null"].isna()):  # a share; the total stands three rows above
        low, high = np.quantile(draws[:, i - 3], [0.025, 0.975])
        if low <= frame["null"].iloc[i - 3] <= high:
            estimate[i], draws[:, i] = np.nan, np.nan
    over = "" if case.cluster is None else f", CR2 errors over clusters of {case.cluster}"
    frame = frame.assign(estimate=estimate)[["level", "term", "at", "estimate", "null"]]
    shown = _shown(table, effects.paths)
    return Mediation(
        case.asked, f"{how}{over}, {said}", shown, frame, draws, None, None, _NOTHING, remarks,
        case.rows,
    )  # fmt: skip


def _result(
    case: Case,
    how: str,
    table: pd.DataFrame,
    products: Products,
    *,
    rise: Rise | None = None,
    errors: tuple[float, float] = _NOTHING,
    remarks: tuple[str, ...] = (),
) -> Mediation:
    effects = products.effects
    draws = np.column_stack([e.of(products.theta) for e in effects])
    frame = effect_frame(effects, products.paths.estimate)
    shown = _shown(table, products.paths)
    return Mediation(
        case.asked, how, shown, frame, draws, products, rise, errors, remarks, case.rows
    )


def _shown(table: pd.DataFrame, paths: Paths) -> pd.DataFrame:
    """Return the paths with their estimates."""
    places = table["place"].to_numpy()
    shown = table.drop(columns="place").assign(
        estimate=paths.estimate[places],
        std_error=np.sqrt(np.diag(paths.covariance))[places],
        df=paths.df[places],
    )
    return shown if np.isfinite(shown["df"]).any() else shown.drop(columns="df")


def _errors(asked: Asked, found: Equations) -> tuple[float, float]:
    """Return correlation and ratio of SDs of outcome and mediator given the treatment alone."""
    if len(asked.mediators) > 1 or asked.moderator is not None:
        return _NOTHING
    m, y = (fit.augment()["residual"].to_numpy(dtype=np.float64) for fit in found.fits)
    whole = y + float(found.paths.estimate[found.place(1, asked.mediators[0])]) * m
    return float(np.corrcoef(m, whole)[0, 1]), float(whole.std() / m.std())


def _two_values(case: Case, linear: Sequence[str]) -> tuple[str, ...]:
    """Say what a linear equation for a yes/no variable is."""
    found = []
    for name in linear:
        if set(np.unique(case.frame[name].to_numpy(dtype=np.float64))) == {0.0, 1.0}:
            which = "outcome" if name == case.asked.outcome else "mediator"
            found.append(
                f"'{name}' is 0 or 1 and its equation linear: paths to it are differences of "
                f"probabilities. {which}_family='logistic' gives natural effects."
            )
    return tuple(found)


def _mixed(case: Case) -> tuple[str, ...]:
    """Say which paths mix differences within clusters with those between them."""
    if case.cluster is None:
        return ()
    codes = group_codes(case.frame[case.cluster])[0]
    sizes, found = np.bincount(codes), []
    df = len(sizes) - 1, len(codes) - len(sizes)
    for name in (case.asked.treatment, *case.asked.mediators):
        values = case.frame[name].to_numpy(dtype=np.float64)
        means = np.bincount(codes, weights=values) / sizes
        within = float(((values - means[codes]) ** 2).sum())
        between = float((sizes * (means - values.mean()) ** 2).sum())
        if df[1] > 0 and within > _STILL * between:
            ratio = (between / df[0]) / (within / df[1])
            found += [f"'{name}'"] if stats.f.sf(ratio, *df) < _TOLD else []
    if not found:
        return ()
    return (
        f"Paths of {' and '.join(found)} mix what differs within units of {case.cluster} with what "
        f"differs between them, which can have opposite signs: nested_in='{case.cluster}' keeps "
        "them apart.",
    )


def _counted(found: Equations, codes: Integers, drawn: Drawn) -> tuple[Array, int]:
    """Refit linear equations to units drawn with replacement; count what cannot be fitted."""
    units = int(codes.max()) + 1
    draws = []
    for _ in range(drawn.n):
        counts = np.bincount(drawn.rng.integers(0, units, units), minlength=units)
        theta = found.resampled(counts[codes].astype(np.float64))
        if theta is not None:
            draws.append(theta)
    return np.array(draws), drawn.n - len(draws)


def _profile(found: Equations) -> Rise:
    """Return how the likelihood of linear equations falls, in the paths of the effects."""
    asked, table = found.asked, found.table()
    blocks = []
    equations: list[tuple[int, ...]] = [(i,) for i in range(len(found.fits))]
    if not asked.serial and len(asked.mediators) > 1:
        if "a" in asked.moderates:
            raise NotIdentifiedError(
                "Profiles of several mediators' moderated paths are not here: ask for the "
                "bootstrap or for Monte Carlo intervals."
            )
        equations = [tuple(range(len(asked.mediators))), (len(asked.mediators),)]
    for own in equations:
        targets = [asked.targets[i] for i in own]
        places = tuple(int(p) for p in table.loc[table["to"].isin(targets), "place"])
        fit = found.fits[own[0]]
        assert isinstance(fit, LinearRegression)
        df = float(fit.nobs - len(fit.fit.beta))
        V = found.paths.covariance[np.ix_(places, places)]
        blocks.append(Block(places, V, fit.nobs, df))
    return Rise(found.paths.estimate, tuple(blocks), None)


def _numbers(case: Case) -> tuple[Case, dict[str, Array]]:
    """Return the columns of a two-level model; covariates in words become indicators."""
    asked, frame = case.asked, case.frame
    columns: dict[str, Array] = {}
    covariates: list[str] = []
    for name in asked.covariates:
        values = frame[name]
        words = isinstance(values.dtype, pd.CategoricalDtype) or (
            pd.api.types.infer_dtype(values, skipna=True) == "string"
        )
        if not words:
            columns[name] = finite_or_missing(frame, name)
            covariates.append(name)
            continue
        codes, labels = group_codes(values)
        for k, label in enumerate(labels[1:], start=1):
            columns[f"{name}: {label}"] = (codes == k).astype(np.float64)
            covariates.append(f"{name}: {label}")
    named = [asked.treatment, *asked.targets]
    named += [] if asked.moderator is None else [asked.moderator]
    columns = {name: finite_or_missing(frame, name) for name in named} | columns
    return replace(case, asked=replace(asked, covariates=tuple(covariates))), columns


def _fit_units(
    asked: Asked,
    design: str,
    slopes: tuple[str, ...],
    columns: dict[str, Array],
    codes: Integers,
    *,
    clusters: Integers | None = None,
    errors: bool = True,
) -> Fitted:
    """Fit the model of a design: stacked where paths within units are random or moderated."""
    if slopes or (asked.moderator is not None and design == "1-1-1"):
        return fit_random_paths(asked, columns, codes, slopes, clusters=clusters, errors=errors)
    return fit_levels(asked, columns, codes, design, clusters=clusters, errors=errors)


def _clusters_of_units(case: Case) -> Integers | None:
    """Return each unit's cluster, units in order of their codes."""
    if case.cluster is None or case.unit is None:
        return None
    several = units_with_several(case.frame, unit=case.unit, column=case.cluster)
    if len(several):
        raise DataError(
            f"'{case.unit}' {several[0]!r} is in several clusters of '{case.cluster}': clusters "
            "hold whole units."
        )
    codes, _ = group_codes(case.frame[case.unit])
    first = np.unique(codes, return_index=True)[1]
    clusters, labels = group_codes(case.frame[case.cluster].iloc[first])
    if len(labels) < 2:
        raise NotIdentifiedError(f"'{case.cluster}' has one cluster in the rows used.")
    return clusters


def _profile_of_levels(found: Fitted, cluster: str | None) -> Rise:
    """Return how the likelihood of a two-level model falls."""
    if cluster is not None or not isinstance(found, MediatedLevels):
        raise NotIdentifiedError(
            "Profiles are of a likelihood: of models without clusters, and with nested_in of those "
            "without random or moderated paths within units. Ask for the bootstrap."
        )
    J, paths = len(found.model.deviance.sizes), found.paths
    beside = np.setdiff1d(np.arange(len(paths.estimate)), found.modelled)
    blocks = []
    if len(beside):
        places = tuple(int(p) for p in beside)
        covariance = paths.covariance[np.ix_(beside, beside)]
        blocks.append(Block(places, covariance, J, float(paths.df[beside[0]])))
    return Rise(paths.estimate, tuple(blocks), Levels.at(found.model, found.of, found.modelled))
