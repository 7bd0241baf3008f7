"""Through the mediator: indirect effects on one level, on two, and through two fitted models."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from alliance_stats.arguments import require_kind
from alliance_stats.association.mediation.asked import (
    Asked,
    Case,
    Drawn,
    Family,
    Intervals,
    Natural,
    Scale,
    listed,
    read,
)
from alliance_stats.association.mediation.equations import Paths
from alliance_stats.association.mediation.hazard_outcome import HazardOutcome, read_periods
from alliance_stats.association.mediation.mediated_effects import (
    in_units,
    natural_on_one_level,
    of_hazard,
    on_one_level,
)
from alliance_stats.association.mediation.mediation_result import Mediation
from alliance_stats.checks import check_conf_level, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed, generator_of

__all__ = ["indirect_path", "mediation"]


@renamed(intervals="ci_method")
def mediation(
    data: pd.DataFrame,
    *,
    treatment: str,
    mediator: str | Sequence[str],
    outcome: str | HazardOutcome,
    covariates: str | Sequence[str] = (),
    nested_in: str | Sequence[str] = (),
    random_slopes: str | Sequence[Literal["a", "b", "c"]] = (),
    cluster: str | None = None,
    serial: bool = False,
    moderator: str | None = None,
    moderates: str | Sequence[str] = ("a",),
    at: Sequence[float] | None = None,
    mediator_family: Family = "linear",
    outcome_family: Family = "linear",
    interaction: bool = False,
    values: tuple[object, object] | None = None,
    scale: Scale = "difference",
    times: Mapping[str, str] | None = None,
    ci_method: Intervals = "monte_carlo",
    n_resamples: int = 20_000,
    seed: Seed = None,
) -> Mediation:
    """Estimate how much of an effect passes through one or several mediators.

    Parameters
    ----------
    data
        One row per case; with `nested_in` one row per case of a unit (a session of a person, a
        person of a therapist). Incomplete rows are set aside and counted.
    treatment
        Column of numbers (0 and 1, or a quantity) or of words. Of two words the first in order is
        the reference; with three arms or more `values` says which two are compared, and the others
        enter the model as indicators (Hayes & Preacher 2014, doi:10.1111/bmsp.12028).
    mediator
        One column or several; several act in parallel or, with `serial`, each on the next ones in
        the order given.
    outcome
        Numeric column; or a :class:`HazardOutcome`, with one row per unit and session: natural
        effects on who is still in treatment after a session, or on the number of sessions.
    covariates
        Columns held constant in every equation.
    nested_in
        Column of units, as a name or a list of one. Paths within and between units are then
        separated by a two-level model with latent means of the units (Preacher, Zyphur & Zhang
        2010, doi:10.1037/a0020141); designs 1-1-1, 2-1-1 and 2-2-1 are recognised by what varies
        within units.
    random_slopes
        With `nested_in`, in a 1-1-1 design: which paths vary between units, of ``"a"``,
        ``"b"`` and ``"c"`` (see `moderates`). Mediator and outcome are then one stacked mixed
        model, and the indirect effect within units is ``a b + cov(a, b)`` (Bauer, Preacher & Gil
        2006, doi:10.1037/1082-989X.11.2.142).
    cluster
        Column of clusters of similar cases: errors of all paths are jointly CR2 over clusters; with
        `nested_in`, a sandwich over clusters of units. The bootstrap resamples them.
    serial
        Whether each mediator affects those after it.
    moderator, moderates, at
        A numeric column that moderates paths: ``"a"`` (treatment to mediator), ``"b"`` (mediator to
        outcome), ``"c"`` (the direct one). Effects are then given at the values `at` (one SD below
        the mean, the mean, one SD above; both values of a yes/no variable), with the index of
        moderated mediation. With `nested_in` it is constant within units; a 2-1-1 design takes
        ``("a", "c")``.
    mediator_family, outcome_family
        ``"linear"``, ``"logistic"`` (0/1) or ``"poisson"`` (counts). If one is not linear, or with
        `interaction`, effects are natural direct and indirect ones on the scale of the outcome
        (mean, probability, expected count), averaged over the rows (Imai, Keele & Tingley 2010,
        doi:10.1037/a0020761), of several linear mediators through all. The share mediated is
        given where the total is distinguishable from zero.
    interaction
        Whether the treatment changes what the mediator does (their product in the outcome's
        equation).
    values
        The two values of the treatment that natural effects compare: 0 and 1 where it has only
        these, else its mean and one SD above. For a treatment in words: the reference, and the
        other.
    scale
        For natural effects: ``"difference"`` or ``"ratio"``.
    times
        Column of treatment, mediators or outcome -> column that says when it was measured. A
        mediator that was measured after the outcome, or before the treatment, is refused.
    ci_method
        ``"monte_carlo"``: draws of all paths with their joint covariance (t where df are few;
        MacKinnon, Lockwood & Williams 2004, doi:10.1207/s15327906mbr3901_4), of which quantiles
        are taken. ``"bootstrap"``: rows, or whole clusters or units, are resampled and everything
        is refitted (percentiles). ``"profile"``: where the likelihood of a linear model has fallen
        by a chi-squared quantile (Neale & Miller 1997, doi:10.1023/A:1025681223921).
    n_resamples
        Number of draws; natural effects use a tenth, the bootstrap of natural effects and of nested
        models a twentieth.
    seed
        Seed of the draws.

    Returns
    -------
    Mediation
        ``tidy()`` has the effects, ``paths`` their components, ``sensitivity()`` and
        ``e_value()`` the possible effect of an unmeasured cause.

    Raises
    ------
    DataError
        A column that does not exist or is not numeric, a mediator after the outcome, a name twice.
    NotIdentifiedError
        A variable without variance, too few units, a combination that is not defined.

    Examples
    --------
    >>> from alliance_stats import example_study, mediation
    >>> last = example_study().sessions.groupby("person").tail(1)
    >>> found = mediation(
    ...     last, treatment="experience", mediator="alliance", outcome="symptoms", seed=1,
    ...     cluster="therapist",
    ... )
    >>> list(found.tidy()["term"])
    ['indirect through alliance', 'direct', 'total']
    """
    hazard = outcome if isinstance(outcome, HazardOutcome) else None
    event = outcome.event if isinstance(outcome, HazardOutcome) else outcome
    moderated = listed(moderates) if moderator is not None else ()
    asked = Asked(
        treatment, listed(mediator), event, listed(covariates), serial, moderator, moderated
    )
    how = Natural(mediator_family, outcome_family, interaction, values, scale)
    drawn = Drawn(ci_method, n_resamples, generator_of(seed))
    unit, slopes, when = _unit(nested_in), listed(random_slopes), dict(times or {})
    _check_levels(asked, how, unit, slopes, hazard)
    _check_natural(asked, how, drawn, at, natural=hazard is not None or how.wanted)
    if hazard is not None:
        case = read_periods(data, hazard, asked, cluster=cluster, values=values, times=when)
        return of_hazard(case, hazard, how, drawn, at)
    case = read(data, asked, unit=unit, cluster=cluster, values=values, times=when)
    if how.wanted:
        return natural_on_one_level(case, how, drawn, at)
    _check_values(case, how)
    if unit is not None:
        return in_units(case, slopes, drawn, at)
    return on_one_level(case, drawn, at)


def _unit(nested_in: str | Sequence[str]) -> str | None:
    """Return the one column of units, or None."""
    units = listed(nested_in)
    if len(units) > 1:
        raise DataError(
            f"mediation keeps the paths of one level of units apart; got {list(units)}. Give the "
            "innermost, whose cases the rows are."
        )
    return units[0] if units else None


def _check_levels(
    asked: Asked,
    how: Natural,
    unit: str | None,
    slopes: tuple[str, ...],
    hazard: HazardOutcome | None,
) -> None:
    """Refuse what a two-level model lacks, and random slopes without one."""
    strange = [path for path in slopes if path not in ("a", "b", "c")]
    if strange or len(set(slopes)) < len(slopes):
        raise ValueError(f"random_slopes= names paths among 'a', 'b' and 'c'; got {slopes}.")
    if slopes and unit is None:
        raise DataError("random_slopes= are of paths that differ between units: give nested_in=.")
    if hazard is not None and (unit is not None or how.outcome != "linear"):
        raise DataError(
            "A HazardOutcome names its own unit and has its own link: leave nested_in= and "
            "outcome_family= out (cluster= is for therapists)."
        )
    if unit is not None and (how.wanted or asked.serial):
        raise NotIdentifiedError(
            "With nested_in the model is linear, without interaction or serial paths. For a yes or "
            "no, or a count, of cases that are alike, model them on one level with cluster=."
        )


def _check_natural(
    asked: Asked, how: Natural, drawn: Drawn, at: Sequence[float] | None, *, natural: bool
) -> None:
    """Refuse meaningless combinations, and arguments that would be ignored."""
    if natural:
        if asked.serial or (len(asked.mediators) > 1 and how.mediator != "linear"):
            raise NotIdentifiedError(
                "Natural effects are here for one mediator, or for several linear ones together "
                "that do not work on one another."
            )
        if drawn.intervals == "profile":
            raise NotIdentifiedError("Natural effects have no profile: draw or resample them.")
    elif how.scale != "difference":
        raise DataError(
            "scale='ratio' is of natural effects (a family that is not linear, or interaction)."
        )
    if at is not None and asked.moderator is None:
        raise DataError("at= are values of a moderator: give moderator=.")
    if at is not None and (len(at) == 0 or not np.isfinite(np.asarray(at, dtype=float)).all()):
        raise DataError("at= is a list of values of the moderator.")


def _check_values(case: Case, how: Natural) -> None:
    if how.values is not None and case.arms is None:
        raise DataError(
            "values= are of natural effects and of treatments in words; effects of a linear model "
            "are per unit of the treatment."
        )


Weights = str | Mapping[str, float]


@runtime_checkable
class Tabled(Protocol):
    """A fitted model with a table of coefficients."""

    def tidy(self) -> pd.DataFrame:
        """Return one row per coefficient."""
        ...

    def vcov(self) -> pd.DataFrame:
        """Return the covariance of the coefficients."""
        ...


def indirect_path(
    first: Tabled,
    to_mediator: Weights,
    second: Tabled,
    to_outcome: Weights,
    *,
    conf_level: float = 0.95,
    n_resamples: int = 50_000,
    seed: Seed = None,
) -> pd.DataFrame:
    """Multiply the path to a mediator in one model by the path from it in another model.

    Parameters
    ----------
    first, second
        Fitted models of mediator and outcome: ``lmm``, ``glmm``, ``regression``,
        ``discrete_hazard``, ``cox_ph`` or an imported one.
    to_mediator, to_outcome
        Name of a coefficient; or names -> weights, for a path at a value of a moderator
        (``{"x": 1, "x:w": 2}``).
    conf_level
        Coverage.
    n_resamples, seed
        Draws and seed of the Monte Carlo interval.

    Returns
    -------
    DataFrame
        Rows ``to mediator``, ``to outcome`` and ``indirect``: ``term, estimate, std_error,
        conf_low, conf_high``. The product is on the scale of the second model's link (log odds,
        log hazards): a path of two models, not a natural effect on a probability.

    Raises
    ------
    DataError
        A name that is not a coefficient of its model.

    Notes
    -----
    Both models' errors are assumed independent, which they are if the second holds constant what
    the first explains (MacKinnon, Lockwood & Williams 2004, doi:10.1207/s15327906mbr3901_4); draws
    are normal, or t where the model gives few df.

    Examples
    --------
    >>> from alliance_stats import example_study, indirect_path, lmm
    >>> sessions = example_study().sessions
    >>> a = lmm("alliance ~ experience + (1 | therapist/person)", sessions)
    >>> b = lmm("symptoms ~ alliance + experience + (1 | therapist/person)", sessions)
    >>> list(indirect_path(a, "experience", b, "alliance", seed=1)["term"])
    ['to mediator', 'to outcome', 'indirect']
    """
    check_conf_level(conf_level)
    rng = generator_of(seed)
    (a, drawn_a), (b, drawn_b) = (
        _drawn(model, weights, n_resamples, rng)
        for model, weights in ((first, to_mediator), (second, to_outcome))
    )
    parts = {"to mediator": (a, drawn_a), "to outcome": (b, drawn_b)}
    parts["indirect"] = (a * b, drawn_a * drawn_b)
    alpha = (1.0 - conf_level) / 2.0
    return pd.DataFrame(
        [
            {
                "term": name,
                "estimate": estimate,
                "std_error": float(draws.std(ddof=1)),
                "conf_low": float(np.quantile(draws, alpha)),
                "conf_high": float(np.quantile(draws, 1.0 - alpha)),
            }
            for name, (estimate, draws) in parts.items()
        ]
    )


def _drawn(
    model: Tabled, weights: Weights, n: int, rng: np.random.Generator
) -> tuple[float, Array]:
    """Return a path and draws of it."""
    asked = "indirect_path takes two fitted models of this package, as lmm and regression give"
    require_kind(model, Tabled, asked=asked)
    given = {weights: 1.0} if isinstance(weights, str) else dict(weights)
    table = model.tidy()
    if "effect" in table:
        table = table[~table["effect"].isin(["ran_pars", "ran_vals", "threshold", "baseline"])]
    table = table.set_index("term")
    for name in given:
        if name not in table.index:
            known = [str(term) for term in table.index]
            raise DataError(
                f"'{name}' is no coefficient of the {type(model).__name__}. "
                f"{did_you_mean(name, known)}"
            )
    names = list(given)
    own = table.loc[names]
    df = own["df"].to_numpy(dtype=np.float64) if "df" in own else np.full(len(own), np.inf)
    estimate = own["estimate"].to_numpy(dtype=np.float64)
    V = np.diag(own["std_error"].to_numpy(dtype=np.float64) ** 2)
    if len(names) > 1:
        V = model.vcov().loc[names, names].to_numpy(dtype=np.float64)
    w = np.array([given[name] for name in names])
    draws = Paths(estimate, V, df).draws(n, rng)
    return float(estimate @ w), np.asarray(draws @ w)
