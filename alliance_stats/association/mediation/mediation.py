"""By way of the mediator: indirect effects on one level and on two, with honest intervals."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.association.mediation.equations import (
    Asked,
    Equations,
    effects_of,
    fit_equations,
)
from alliance_stats.association.mediation.mediated_levels import fit_levels
from alliance_stats.association.mediation.mediation_result import NATURAL, Mediation
from alliance_stats.association.mediation.natural_effects import NaturalModel, natural_effects
from alliance_stats.association.mediation.paths import Effect, Paths
from alliance_stats.checks import (
    check_choice,
    check_frame,
    describe_rows,
    finite_or_missing,
    group_codes,
    require_columns,
)
from alliance_stats.design.rows import complete_rows
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import format_number
from alliance_stats.ledger import RowLedger
from alliance_stats.seeds import Seed

__all__ = ["mediation"]

Family = Literal["linear", "logistic", "poisson"]
Intervals = Literal["monte_carlo", "bootstrap"]
_FEW_UNITS = 30
_FAMILIES = ("linear", "logistic", "poisson")


def mediation(
    data: pd.DataFrame,
    *,
    treatment: str,
    mediator: str | Sequence[str],
    outcome: str,
    covariates: str | Sequence[str] = (),
    nested_in: str | Sequence[str] = (),
    cluster: str | None = None,
    serial: bool = False,
    moderator: str | None = None,
    moderates: str | Sequence[str] = ("a",),
    at: Sequence[float] | None = None,
    mediator_family: Family = "linear",
    outcome_family: Family = "linear",
    interaction: bool = False,
    values: tuple[float, float] | None = None,
    scale: Literal["difference", "ratio"] = "difference",
    times: Mapping[str, str] | None = None,
    intervals: Intervals = "monte_carlo",
    n_resamples: int = 20_000,
    seed: Seed = None,
) -> Mediation:
    """Estimate how much of an effect goes by way of a mediator, or of several.

    Parameters
    ----------
    data
        One row a case; with `nested_in` one row a case of a unit (a session of a person, a person
        of a therapist). Rows without all that is needed are set aside and counted.
    treatment
        Numeric column (0 and 1, or a quantity).
    mediator
        One column or several; several work side by side (parallel) or, with `serial`, each on the
        next ones in the order given.
    outcome
        Numeric column.
    covariates
        Columns held constant in every equation.
    nested_in
        Column of units, as a name or a list of one. Paths within and between units are then kept
        apart, by a two-level model with latent means of the units (Preacher, Zyphur & Zhang 2010,
        doi:10.1037/a0020141); designs 1-1-1, 2-1-1 and 2-2-1 are told from what varies within
        units.
    cluster
        Column of clusters whose cases are alike, of a single-level model: errors of all paths are
        CR2 over clusters, together.
    serial
        Whether each mediator works on those after it.
    moderator, moderates, at
        A numeric column that changes paths: ``"a"`` (treatment to mediator), ``"b"`` (mediator to
        outcome), ``"c"`` (the direct one). Effects are then given at the values `at` (one SD under
        the mean, the mean, one SD above), with the index of moderated mediation.
    mediator_family, outcome_family
        ``"linear"``, ``"logistic"`` (0/1) or ``"poisson"`` (counts). If one is not linear, or with
        `interaction`, effects are natural direct and indirect ones on the scale of the outcome
        (mean, probability, expected count), averaged over the rows (Imai, Keele & Tingley 2010,
        doi:10.1037/a0020761). The share mediated is given where the total can be told from none.
    interaction
        Whether the treatment changes what the mediator does (their product in the outcome's
        equation).
    values
        The two values of the treatment that natural effects compare: 0 and 1 where it has these
        only, else its mean and an SD above.
    scale
        Of natural effects: ``"difference"`` or ``"ratio"``.
    times
        Column of treatment, mediators or outcome -> column that says when it was measured. A
        mediator that was measured after the outcome, or before the treatment, is refused.
    intervals
        ``"monte_carlo"``: draws of all paths with their joint covariance (t where df are few;
        MacKinnon, Lockwood & Williams 2004, doi:10.1207/s15327906mbr3901_4), of which quantiles
        are taken. ``"bootstrap"``: rows or whole clusters are drawn anew and all fitted again
        (percentiles; linear models on one level).
    n_resamples
        How many draws; natural effects use a tenth.
    seed
        Of the draws.

    Returns
    -------
    Mediation
        ``tidy()`` has the effects, ``paths`` what they are made of, ``sensitivity()`` and
        ``e_value()`` what an unmeasured cause could do.

    Raises
    ------
    DataError
        A column that does not exist or is not numeric, a mediator after the outcome, a name twice.
    NotIdentifiedError
        What does not vary, too few units, a combination that is not defined.

    Examples
    --------
    >>> from alliance_stats import example_study, mediation
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> found = mediation(
    ...     last, treatment="experience", mediator="alliance", outcome="symptoms", seed=1,
    ...     cluster="therapist",
    ... )
    >>> list(found.tidy()["term"])
    ['indirect by way of alliance', 'direct', 'total']
    """
    check_choice(mediator_family, _FAMILIES, name="mediator_family")
    check_choice(outcome_family, _FAMILIES, name="outcome_family")
    check_choice(scale, ("difference", "ratio"), name="scale")
    check_choice(intervals, ("monte_carlo", "bootstrap"), name="intervals")
    data = check_frame(data)
    moderated = _listed(moderates) if moderator is not None else ()
    asked = Asked(
        treatment, _listed(mediator), outcome, _listed(covariates), serial, moderator, moderated
    )
    unit = _unit(nested_in)
    _check_asked(asked, unit, cluster)
    natural = interaction or (mediator_family, outcome_family) != ("linear", "linear")
    _check_combination(asked, unit, natural=natural, intervals=intervals)
    named = [treatment, *asked.mediators, outcome, *([moderator] if moderator else [])]
    groups = [name for name in (unit, cluster) if name is not None]
    require_columns(data, [*named, *asked.covariates, *groups, *(times or {}).values()])
    numbers: dict[Hashable, object] = {name: finite_or_missing(data, name) for name in named}
    used, rows = complete_rows(replaced(data, numbers), [*named, *asked.covariates, *groups], {})
    _check_times(asked, used, dict(times or {}))
    for name in named:
        if np.ptp(used[name].to_numpy(dtype=np.float64)) == 0.0:
            raise NotIdentifiedError(f"'{name}' is the same in all {len(used)} rows used.")
    rng = np.random.default_rng(seed)
    if unit is not None:
        return _nested(asked, used, rows, unit, n_resamples, rng)
    found = fit_equations(
        asked, used, families=(mediator_family, outcome_family), cluster=cluster,
        interaction=interaction,
    )  # fmt: skip
    if natural:
        ratio = scale == "ratio"
        return _natural(found, rows, values, max(n_resamples // 10, 200), rng, ratio=ratio)
    effects = effects_of(found, _at(asked, used, at))
    theta = found.paths.draws(n_resamples, rng)
    said = "Monte Carlo intervals"
    if intervals == "bootstrap":
        codes = np.arange(len(used)) if cluster is None else group_codes(used[cluster])[0]
        theta = _bootstrap(found, codes, n_resamples, rng)
        said = f"bootstrap of {'rows' if cluster is None else f'whole {cluster}s'}"
    over = "" if cluster is None else f", CR2 errors over clusters of {cluster}"
    how = f"{_named(asked)} by least squares{over}, {said} ({len(theta):,} draws)"
    return _result(asked, how, found.table(), found.paths, effects, theta, found, rows)


def _named(asked: Asked) -> str:
    kind = "serial mediation" if asked.serial else "mediation"
    text = f"{kind} of {asked.treatment} on {asked.outcome} by {' and '.join(asked.mediators)}"
    return text if asked.moderator is None else f"{text}, moderated by {asked.moderator}"


def _result(  # noqa: PLR0917
    asked: Asked,
    how: str,
    table: pd.DataFrame,
    paths: Paths,
    effects: Sequence[Effect],
    theta: Array,
    found: Equations | None,
    rows: RowLedger,
    remarks: tuple[str, ...] = (),
) -> Mediation:
    places = table["place"].to_numpy()
    shown = table.drop(columns="place").assign(
        estimate=paths.estimate[places],
        std_error=np.sqrt(np.diag(paths.covariance))[places],
        df=paths.df[places],
    )
    if not np.isfinite(shown["df"]).any():
        shown = shown.drop(columns="df")
    frame = pd.DataFrame(
        {
            "level": [e.level for e in effects],
            "term": [e.term for e in effects],
            "at": [e.at for e in effects],
            "estimate": [float(e.of(paths.estimate)) for e in effects],
            "null": 0.0,
        }
    )
    draws = np.column_stack([e.of(theta) for e in effects])
    errors = np.array([e.delta_error(paths) for e in effects])
    r, ratio = _errors_together(asked, found)
    return Mediation(asked, how, shown, frame, draws, errors, r, ratio, remarks, rows)


def _errors_together(asked: Asked, found: Equations | None) -> tuple[float, float]:
    """Return correlation and ratio of SDs of outcome and mediator given the treatment alone."""
    if found is None or len(asked.mediators) > 1 or asked.moderator is not None:
        return np.nan, np.nan
    m, y = (fit.augment()["residual"].to_numpy(dtype=np.float64) for fit in found.fits)
    whole = y + float(found.paths.estimate[found.place(1, asked.mediators[0])]) * m
    return float(np.corrcoef(m, whole)[0, 1]), float(whole.std() / m.std())


def _nested(  # noqa: PLR0917
    asked: Asked,
    used: pd.DataFrame,
    rows: RowLedger,
    unit: str,
    n_draws: int,
    rng: np.random.Generator,
) -> Mediation:
    codes, labels = group_codes(used[unit])
    names = [asked.treatment, *asked.mediators, asked.outcome, *asked.covariates]
    columns = {name: finite_or_missing(used, name) for name in names}
    found = fit_levels(asked, columns, codes, unit)
    theta = found.paths.draws(n_draws, rng)
    how = (
        f"{_named(asked)}, {found.design} in {len(labels)} units of {unit}: two-level model with "
        f"latent means, maximum likelihood, Monte Carlo intervals ({n_draws:,} draws)"
    )
    few: tuple[str, ...] = ()
    if len(labels) < _FEW_UNITS:
        few = (
            f"There are {len(labels)} units of {unit}: intervals of paths between so few are too "
            "narrow more often than not.",
        )
    return _result(asked, how, found.table, found.paths, found.effects, theta, None, rows, few)


def _natural(
    found: Equations,
    rows: RowLedger,
    values: tuple[float, float] | None,
    n_draws: int,
    rng: np.random.Generator,
    *,
    ratio: bool,
) -> Mediation:
    asked, (first, second) = found.asked, found.fits
    x = first.design.frame[asked.treatment].to_numpy(dtype=np.float64)
    pair = values or _pair(x)
    m, p_m = asked.mediators[0], len(first.design.fixed.kept)
    own = [found.place(0, asked.treatment)]
    of_y = [found.place(1, asked.treatment) - p_m, found.place(1, m) - p_m]
    names = [second.design.fixed.names[i] for i in second.design.fixed.kept]
    product = [
        i for i, n in enumerate(names) if n in (f"{asked.treatment}:{m}", f"{m}:{asked.treatment}")
    ]
    rest_m = [i for i in range(p_m) if i not in own]
    rest_y = [i for i in range(len(names)) if i not in (*of_y, *product)]
    kinds = [_kind(fit) for fit in found.fits]
    linear_m = kinds[0] == "linear"
    sigma = float(first.fit.sigma) if linear_m else 0.0
    df = first.nobs - p_m

    def effects(theta: Array, spread: float) -> Array:
        b_m, b_y = theta[:p_m], theta[p_m:]
        last = [b_y[product[0]] if product else 0.0]
        model = NaturalModel(
            kinds[0], kinds[1], first.design.X[:, rest_m], second.design.X[:, rest_y],
            np.concatenate([b_m[rest_m], b_m[own]]),
            np.concatenate([b_y[rest_y], b_y[of_y], last]), spread,
        )  # fmt: skip
        return natural_effects(model, pair, ratio=ratio)

    estimate = effects(found.paths.estimate, sigma)
    theta = found.paths.draws(n_draws, rng)
    spreads = sigma * np.sqrt(df / rng.chisquare(df, n_draws))
    draws = np.array([effects(own_draw, s) for own_draw, s in zip(theta, spreads, strict=True)])
    null = 1.0 if ratio else 0.0
    low, high = np.quantile(draws[:, 0], [0.025, 0.975])
    if low <= null <= high:  # of a total that may be nothing there is no share
        estimate[3], draws[:, 3] = np.nan, np.nan
    table = found.table()
    places = table["place"].to_numpy()
    shown = table.drop(columns="place").assign(
        estimate=found.paths.estimate[places],
        std_error=np.sqrt(np.diag(found.paths.covariance))[places],
    )
    frame = pd.DataFrame(
        {"level": "", "term": NATURAL, "at": np.nan, "estimate": estimate,
         "null": [null, null, null, np.nan]}
    )  # fmt: skip
    what = {"linear": "mean", "logistic": "probability", "poisson": "expected count"}[kinds[1]]
    how = (
        f"{_named(asked)}: natural effects on the {what}, {'ratios' if ratio else 'differences'}, "
        f"{asked.treatment} from {format_number(pair[0])} to {format_number(pair[1])} "
        f"({kinds[0]} mediator, {kinds[1]} "
        f"outcome), averaged over the rows, {n_draws:,} draws of both models"
    )
    nothing = np.full(len(NATURAL), np.nan)
    return Mediation(asked, how, shown, frame, draws, nothing, np.nan, np.nan, (), rows)


def _kind(fit: object) -> str:
    family = getattr(fit, "family", None)
    if family is None:
        return "linear"
    return "logistic" if family.name == "binomial" else "poisson"


def _pair(x: Array) -> tuple[float, float]:
    if set(np.unique(x)) == {0.0, 1.0}:
        return 0.0, 1.0
    return float(x.mean()), float(x.mean() + x.std(ddof=1))


def _at(asked: Asked, used: pd.DataFrame, at: Sequence[float] | None) -> list[float]:
    if asked.moderator is None:
        return [np.nan]
    w = used[asked.moderator].to_numpy(dtype=np.float64)
    if at is not None:
        return [float(value) for value in at]
    if len(np.unique(w)) == 2:
        return [float(value) for value in np.unique(w)]
    return [float(w.mean() + k * w.std(ddof=1)) for k in (-1.0, 0.0, 1.0)]


def _bootstrap(
    found: Equations, codes: npt.NDArray[np.int64], n: int, rng: np.random.Generator
) -> Array:
    """Fit anew to units drawn with replacement."""
    units = int(codes.max()) + 1
    draws = []
    for _ in range(n):
        counts = np.bincount(rng.integers(0, units, units), minlength=units)
        draws.append(found.resampled(counts[codes].astype(np.float64)))
    return np.array(draws)


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _unit(nested_in: str | Sequence[str]) -> str | None:
    """Return the one column of units, or None."""
    units = _listed(nested_in)
    if len(units) > 1:
        raise DataError(
            f"mediation keeps the paths of one level of units apart; got {list(units)}. Give the "
            "innermost, whose cases the rows are."
        )
    return units[0] if units else None


def _check_asked(asked: Asked, nested_in: str | None, cluster: str | None) -> None:
    if not asked.mediators:
        raise DataError("Name at least one mediator.")
    everything = [asked.treatment, *asked.mediators, asked.outcome, *asked.covariates]
    everything += [name for name in (asked.moderator, nested_in, cluster) if name is not None]
    twice = [name for name in everything if everything.count(name) > 1]
    if twice:
        raise DataError(f"'{twice[0]}' has two parts in the model; a column can have one.")
    strange = [path for path in asked.moderates if path not in ("a", "b", "c")]
    if strange or (asked.moderator is not None and not asked.moderates):
        raise ValueError("moderates= names paths among 'a', 'b' and 'c'.")


def _check_combination(
    asked: Asked, nested_in: str | None, *, natural: bool, intervals: str
) -> None:
    several = len(asked.mediators) > 1
    if natural and (several or asked.moderator is not None or intervals == "bootstrap"):
        raise NotIdentifiedError(
            "Natural effects are here for one mediator, without moderator, by draws of both models."
        )
    if nested_in is not None and (natural or asked.moderator is not None or asked.serial):
        raise NotIdentifiedError(
            "With nested_in the model is linear, without interaction, moderator or serial paths."
        )
    if nested_in is not None and intervals == "bootstrap":
        raise NotIdentifiedError("The bootstrap is for models on one level (cluster=).")
    if asked.serial and not several:
        raise DataError("serial= needs two mediators or more.")


def _check_times(asked: Asked, used: pd.DataFrame, times: dict[str, str]) -> None:
    """Refuse a mediator after the outcome, or before the treatment."""
    strange = [n for n in times if n not in (asked.treatment, *asked.mediators, asked.outcome)]
    if strange:
        raise DataError(f"times= names '{strange[0]}', which is not of the model.")
    order = [(asked.treatment, m) for m in asked.mediators]
    order += [(m, asked.outcome) for m in asked.mediators]
    if asked.serial:
        order += list(zip(asked.mediators[:-1], asked.mediators[1:], strict=True))
    for before, after in order:
        if before in times and after in times:
            wrong = (used[times[before]] > used[times[after]]).to_numpy()
            if wrong.any():
                raise DataError(
                    f"'{before}' was measured after '{after}' in {describe_rows(wrong, used.index)}"
                    f" ('{times[before]}' > '{times[after]}'): what comes later mediates nothing."
                )
