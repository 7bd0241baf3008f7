"""The next study as expected from a pilot, with the uncertainty that the pilot leaves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.association import regression
from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.formatting import plural
from alliance_stats.multilevel import glmm, lmm, parametric_bootstrap
from alliance_stats.power.assumptions import UncertainDesign, check_count, varied
from alliance_stats.power.study_designs import StudyDesign
from alliance_stats.simulate.truth import ALLIANCE_CENTRE
from alliance_stats.study import Study
from alliance_stats.transforms import person_period, running_mean

__all__ = ["pilot_design"]

_ROLES = ("mother", "father", "child", "partner")
_NEEDED = ("therapist", "family", "person", "session", "alliance")
_BARRIERS = ("investment", "parent_trauma", "therapist_emotion")
_PREDICTORS = ("experience", "trauma_informed", *_BARRIERS)
_MODERATED = "parent_trauma_by_trauma_informed"
_ENOUGH = 10  # endings of a kind from which more than their mean hazard is estimated


@dataclass(slots=True)
class _Found:
    """The pilot's estimates so far: values, sets of them, and their sources."""

    values: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, Array] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: Any, source: str, sets: Array | None = None) -> None:
        self.values[name] = value
        self.sources[name] = source
        if sets is not None:
            self.sets[name] = sets


def pilot_design(
    study: Study,
    *,
    therapists: int,
    families: int,
    roles: Mapping[str, str] | None = None,
    n_sets: int = 200,
    seed: int,
) -> UncertainDesign:
    """Return the design of a larger study like the pilot, with the pilot's uncertainty.

    Ratings, symptoms and endings are estimated from the pilot; a set of assumptions is a parametric
    bootstrap of both mixed models and, for endings, a draw from the estimates' normal distribution.
    Each simulated study takes one of the sets, so that its power is the expected one.

    Parameters
    ----------
    study
        The pilot: therapist, family, person, session and alliance; an outcome, endings and roles
        if it has them. Columns ``experience, framework, investment, parent_trauma,
        therapist_emotion`` are used if present.
    therapists, families
        Numbers in the planned study.
    roles
        Role in the pilot -> mother, father, child or partner, if named otherwise.
    n_sets
        How many sets of assumptions are drawn.
    seed
        Whole number, for the sets.

    Returns
    -------
    UncertainDesign
        ``assumptions()`` gives the source of each assumption and the uncertainty that the pilot
        leaves. The pilot's SDs include splits and ruptures, so that none are drawn in addition;
        effects of what the pilot did not measure are 0 until varied.

    Raises
    ------
    DataError
        If the pilot lacks required columns, or has unknown roles.
    NotIdentifiedError
        If it has too few therapists or families for all that differs between them.

    Notes
    -----
    The effect of a person's level on symptoms is estimated from mean ratings and corrected for
    their unreliability: ``between = within + (observed - within) / reliability``, with the
    reliability ``1 - mean(sigma^2 / n) / var(means)`` (Luedtke et al. 2008, doi:10.1037/a0012869).
    The SD of therapists in dropout is taken as estimated, without its uncertainty.

    Examples
    --------
    >>> from alliance_stats.power import pilot_design
    >>> from alliance_stats.simulate import simulate_study
    >>> pilot = simulate_study(seed=1, therapists=6, families=24, interviewed=0).study
    >>> design = pilot_design(pilot, therapists=15, families=90, n_sets=4, seed=1)
    >>> design.sets.shape[0]
    4
    """
    check_count("n_sets", n_sets, 2)
    check_count("seed", seed, 0)
    data = _canonical(study, roles or {})
    size = f"{plural(data['family'].nunique(), 'family', 'families')} of "
    source = f"pilot: {size}{plural(data['therapist'].nunique(), 'therapist')}"
    found = _Found()
    _ratings(found, data, source, n_sets=n_sets, seed=seed)
    if "symptoms" in data:
        _symptoms(found, data, source, n_sets=n_sets, seed=seed)
    if "ending" in data:
        _endings(found, data, source, n_sets=n_sets, seed=seed)
    if "role" in data:
        together = data.drop_duplicates("person").groupby("family")["role"]
        kinds = together.agg(lambda own: tuple(sorted(own, key=_ROLES.index)))
        found.add("family.compositions", kinds.value_counts().to_dict(), source)
    design = StudyDesign(therapists=therapists, families=families)
    made = varied(design, {**found.values, "sources": found.sources})
    return UncertainDesign(made, pd.DataFrame(found.sets))


def _canonical(study: Study, roles: Mapping[str, str]) -> pd.DataFrame:
    """Return the pilot's sessions under the house's names."""
    held = {role: study.sessions[column] for role, column in study.roles.items()}
    missing = [name for name in _NEEDED if name not in held]
    if missing:
        raise DataError(f"A pilot to plan with needs {', '.join(_NEEDED)}; it has no {missing[0]}.")
    data = pd.DataFrame(held).rename(columns={"outcome": "symptoms"})
    words = [name for name in ("therapist", "family", "person", "role", "ending") if name in data]
    data[words] = data[words].astype(object)  # categories would refuse the house's words
    for name in ("experience", *_BARRIERS):
        if name in study.sessions and pd.api.types.is_numeric_dtype(study.sessions[name]):
            data[name] = study.sessions[name].to_numpy(dtype=np.float64)
    if "framework" in study.sessions:
        data["trauma_informed"] = study.sessions["framework"].eq("trauma-informed").astype(float)
    if "role" in data:
        data["role"] = data["role"].map(lambda name: roles.get(str(name), str(name)))
        for name in data["role"].unique():
            if name not in _ROLES:
                raise DataError(
                    f"The pilot has the role '{name}': say with roles= which of "
                    f"{', '.join(_ROLES)} it stands for. {did_you_mean(name, _ROLES)}"
                )
    return data.sort_values(["person", "session"], ignore_index=True)  # whatever the rows' order


def _differs(data: pd.DataFrame, name: str) -> bool:
    return name in data and bool(data[name].min() < data[name].max())


def _ratings(found: _Found, data: pd.DataFrame, source: str, *, n_sets: int, seed: int) -> None:
    """Add the estimates of the alliance."""
    data = data.copy()
    present = [role for role in _ROLES if "role" in data and data["role"].eq(role).any()]
    for role in present[1:]:
        data[role] = data["role"].eq(role).astype(float)
    known = [name for name in _PREDICTORS if _differs(data, name)]
    if {"parent_trauma", "trauma_informed"} <= set(known):
        data[_MODERATED] = data["parent_trauma"] * data["trauma_informed"]
        known += [_MODERATED] if _differs(data, _MODERATED) else []
    terms = ["session", *present[1:], *known]
    _mixed(found, "alliance", data, terms, source, n_sets=n_sets, seed=seed)
    for name in (*_ROLES[1:], *_PREDICTORS, _MODERATED):
        if f"alliance.{name}" not in found.values:
            found.add(f"alliance.{name}", 0.0, "not in the pilot, taken for 0")
    for name in ("split_probability", "rupture_rate"):
        found.add(f"alliance.{name}", 0.0, f"{source}; held in its SDs")
    later = data["session"] > data["session"].min()
    missing = float(data.loc[later, "alliance"].isna().mean()) if later.any() else 0.0
    found.add("missing_rating", missing, source)


def _symptoms(found: _Found, data: pd.DataFrame, source: str, *, n_sets: int, seed: int) -> None:
    """Add the estimates of symptoms, the effect of the level corrected for unreliable means."""
    own = data.dropna(subset=["alliance", "symptoms"]).copy()
    rating = own["alliance"] - found.values["alliance.session"] * own["session"]
    persons = rating.groupby(own["person"])
    own["within"] = rating - persons.transform("mean")
    own["between"] = persons.transform("mean") - ALLIANCE_CENTRE
    _mixed(
        found, "symptoms", own, ["session", "within", "between"], source, n_sets=n_sets, seed=seed
    )
    means = persons.mean()
    noise = float((found.values["alliance.sd_residual"] ** 2 / persons.size()).mean())
    reliability = 1.0 - noise / float(means.var(ddof=1))
    if reliability <= 0.0:
        raise DataError(
            "The pilot's persons do not differ in their mean alliance beyond its noise: the effect "
            "of a person's level cannot be estimated. Leave outcome= out of the pilot's study."
        )
    for values in (found.values, found.sets):
        within = values["symptoms.within"]
        # the alliance's growth acts on symptoms as a deviation from the level does
        values["symptoms.session"] = (
            values["symptoms.session"] - within * values["alliance.session"]
        )
        values["symptoms.between"] = within + (values["symptoms.between"] - within) / reliability
    corrected = f"{source}; corrected for a reliability of means of {reliability:.2f}"
    found.sources["symptoms.between"] = corrected


def _mixed(
    found: _Found,
    outcome: str,
    data: pd.DataFrame,
    terms: Sequence[str],
    source: str,
    *,
    n_sets: int,
    seed: int,
) -> None:
    """Fit a mixed model with the levels that the pilot distinguishes, and add its estimates."""
    levels = _levels(data.dropna(subset=[outcome]))
    _check_enough_units(outcome, data.dropna(subset=[outcome, *terms]), terms, levels)
    random = " + ".join(f"(1 | {level})" for level in levels)
    with _of_the_pilot(outcome, source):
        model = lmm(f"{outcome} ~ {' + '.join(terms)} + {random}", data)
        draws = parametric_bootstrap(model, n_resamples=n_sets, seed=seed)
    names = {"(Intercept)": "intercept", "Residual|sd__Observation": "sd_residual"}
    names |= {term: term for term in terms}
    names |= {f"{level}|sd__(Intercept)": f"sd_{level}" for level in levels}
    for term, name in names.items():
        estimate = float(draws.observed[term])
        if not np.isfinite(estimate):
            raise DataError(
                f"The pilot cannot tell the effect of '{term}' on {outcome} from that of others: "
                "leave its column out."
            )
        sets = draws.draws[term].to_numpy(dtype=np.float64)
        found.add(f"{outcome}.{name}", estimate, source, sets)
    for level in ("therapist", "family", "person"):
        if level not in levels:
            told = f"{source}; not told from the level below, taken for 0"
            found.add(f"{outcome}.sd_{level}", 0.0, told)


def _check_enough_units(
    outcome: str, data: pd.DataFrame, terms: Sequence[str], levels: Sequence[str]
) -> None:
    """Refuse a pilot with as many effects between units of a level as it has units of it.

    Nothing is then left of these to tell how much units differ otherwise.
    """
    for level in levels:
        units = data.groupby(level)[list(terms)]
        own = [name for name, several in units.nunique().gt(1).any().items() if not several]
        known = units.first()[own].to_numpy(dtype=np.float64)
        if np.linalg.matrix_rank(np.column_stack([np.ones(len(known)), known])) < len(known):
            continue
        called = {_MODERATED: "parent_trauma x framework", "trauma_informed": "framework"}
        effects = ", ".join(f"'{called.get(name, name)}'" for name in own)
        many = {"therapist": "therapists", "family": "families", "person": "persons"}[level]
        raise NotIdentifiedError(
            f"The pilot has {len(known)} {many}, too few to tell how much {many} differ in "
            f"{outcome} beside the mean and the effects of what is the same for all of a {level} "
            f"({effects}). Leave some of these columns out of the pilot's study and give their "
            f"effects yourself (vary={{'{outcome}.{own[0]}': [...]}}), plan with a larger pilot, "
            "or state all assumptions in StudyDesign(...)."
        )


@contextmanager
def _of_the_pilot(what: str, source: str) -> Iterator[None]:
    """Say of a model that cannot be estimated that it was the pilot's, and what to do."""
    try:
        yield
    except NotIdentifiedError as complaint:
        raise NotIdentifiedError(
            f"The {source.replace(': ', ' (')}) cannot give the assumptions about {what}: "
            f"{complaint} Leave columns out of the pilot's study and give their effects yourself, "
            "plan with a larger pilot, or state all assumptions in StudyDesign(...)."
        ) from complaint


def _levels(data: pd.DataFrame) -> list[str]:
    """Return the levels whose units hold more than one of what is below, outermost first."""
    sizes = [data[level].nunique() for level in ("therapist", "family", "person")]
    below = [*sizes[1:], len(data)]
    kept = [
        level
        for level, own, inner in zip(("therapist", "family", "person"), sizes, below, strict=True)
        if 1 < own < inner
    ]
    if not kept:
        raise DataError("The pilot has no unit with several ratings: its SDs cannot be told apart.")
    return kept


def _endings(found: _Found, data: pd.DataFrame, source: str, *, n_sets: int, seed: int) -> None:
    """Add the estimates of endings."""
    courses = data.groupby("family").agg(last=("session", "max"), ending=("ending", "first"))
    staying = courses.loc[courses["ending"].eq("ongoing") | courses["ending"].isna(), "last"]
    seen = staying if len(staying) else courses["last"]
    low = int(staying.min()) if len(staying) else int(courses["last"].max())
    found.add("endings.available_sessions", (max(low, 1), max(int(seen.max()), 1)), source)
    periods = person_period(
        data.assign(attended=True),  # also where every rater skipped the last session
        unit="family",
        session="session",
        ending="ending",
        attended="attended",
        scores=["alliance"],
    )
    periods = running_mean(periods, "alliance", person="family", session="session")
    periods["alliance_so_far"] = periods["alliance_running_mean"] - ALLIANCE_CENTRE
    periods = periods[periods["event"].notna()]
    rng = np.random.default_rng([seed, len(data)])
    last = periods["family"].map(courses["last"]).eq(periods["session"])
    ending = periods["family"].map(courses["ending"]).where(last, "none")
    for kind in ("dropout", "planned", "transferred"):
        own = periods.assign(event=ending.eq(kind).astype(float))
        own = own[own["event"].eq(1.0) | ending.isin(["none", "ongoing"])]
        _hazard(found, kind, own, source, rng=rng, n_sets=n_sets)


def _hazard(
    found: _Found,
    kind: str,
    rows: pd.DataFrame,
    source: str,
    *,
    rng: np.random.Generator,
    n_sets: int,
) -> None:
    """Add the log odds of one ending against continuing, with predictors if data suffice."""
    events = int(rows["event"].sum())
    told = f"{source}, {plural(events, 'such ending')}"
    terms = {"dropout": ["session"], "planned": ["session"], "transferred": []}[kind]
    if kind == "dropout":
        names = ("alliance_so_far", *_BARRIERS)
        terms += [name for name in names if _differs(rows, name)]
        for name in ("session", *names, "sd_therapist"):
            found.add(f"endings.{name}", 0.0, f"{told}: too few to estimate, taken for 0")
    elif kind == "planned":
        found.add("endings.planned_session", 0.0, f"{told}: too few to estimate, taken for 0")
    if events < _ENOUGH:
        odds = (events + 0.5) / (len(rows) - events + 0.5)
        spread = (1.0 / (events + 0.5) + 1.0 / (len(rows) - events + 0.5)) ** 0.5
        value = float(np.log(odds))
        found.add(f"endings.{kind}", value, told, rng.normal(value, spread, n_sets))
        return
    rows = rows.dropna(subset=terms)
    if kind == "dropout" and rows["therapist"].nunique() < rows["family"].nunique():
        with _of_the_pilot("dropout", source):
            model = glmm(f"event ~ {' + '.join(terms)} + (1 | therapist)", rows, family="binomial")
        beta, vcov = model.beta.to_numpy(), model.vcov().to_numpy()
        spread = float(np.sqrt(model.covariances()["therapist"].to_numpy()[0, 0]))
        found.add("endings.sd_therapist", spread, f"{told}; its uncertainty is not carried")
    else:
        formula = f"event ~ {' + '.join(terms or ['1'])}"
        with _of_the_pilot(f"the ending '{kind}'", source):
            plain = regression(formula, rows, family="logistic")
        beta, vcov = plain.beta.to_numpy(), plain.vcov().to_numpy()
    sets = rng.multivariate_normal(beta, vcov, n_sets)
    prefix = {"dropout": "", "planned": "planned_", "transferred": ""}[kind]
    for place, name in enumerate([kind, *(f"{prefix}{term}" for term in terms)]):
        found.add(f"endings.{name}", float(beta[place]), told, sets[:, place])
