"""Analyses ready for planning: each is applied to a drawn study and returns rows.

A row has ``term, parameter, estimate, p_value, conf_low, conf_high, singular``: `parameter` names
the true value among the design's, empty if there is none to compare the estimate with. Any function
of a drawn study that returns a frame with ``term, estimate, p_value`` can be used. If it has
``closed_form(design, alpha)``, term -> power by formula, and ``closed_form_name``, that is shown
beside the simulated power.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.checks import did_you_mean
from alliance_stats.design.formula import parse_formula, variables_of
from alliance_stats.errors import NotIdentifiedError
from alliance_stats.estimates import Array
from alliance_stats.groups import compare_groups, compare_themes
from alliance_stats.multilevel import DfMethod, VarianceBy, lmm, within_between
from alliance_stats.panel import cross_lagged
from alliance_stats.power.formula_powers import therapist_effect_power, within_effect_power
from alliance_stats.power.study_designs import StudyDesign
from alliance_stats.study import Study
from alliance_stats.survival import discrete_hazard
from alliance_stats.transforms import person_period, running_mean

__all__ = [
    "ArmDifference",
    "DropoutEffect",
    "GroupDifference",
    "LaggedEffect",
    "LevelEffects",
    "ModelEffect",
    "ThemeDifference",
]

_NUMBERS = ["estimate", "p_value", "conf_low", "conf_high"]
_IDS = ("therapist", "family")
_LEFT_BY = ("therapist", "family", "session", "alliance", "ending")
_HAZARD_TRUTHS = {
    "alliance_running_mean": "dropout.alliance_so_far",
    "investment": "dropout.investment",
    "parent_trauma": "dropout.parent_trauma",
    "therapist_emotion": "dropout.therapist_emotion",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEffect:
    """A coefficient of a linear mixed model, such as that of a therapist-level predictor.

    Attributes
    ----------
    formula
        Model of the sessions, as ``"alliance ~ session + experience + (1 |
        therapist/family/person)"``.
    term
        The coefficient.
    parameter
        Its true value's name, ``"alliance.experience"``; empty for none.
    df_method
        Degrees of freedom: decisive with few therapists.
    """

    formula: str
    term: str
    parameter: str = ""
    df_method: DfMethod = "satterthwaite"

    def __call__(self, study: Study) -> pd.DataFrame:
        """Fit the model to a study's sessions."""
        model = lmm(self.formula, _read_by(self.formula, study.sessions))
        found = _of(model.tidy(df_method=self.df_method), self.term)
        return _rows([self.term], found, self.parameter, singular=model.singular)

    closed_form_name = "noncentral t of therapists' means"

    def closed_form(self, design: object, alpha: float) -> Mapping[str, float]:
        """Return the power of experience or framework by formula; nothing of other terms."""
        if not isinstance(design, StudyDesign):
            return {}
        normal = self.df_method == "normal"
        return therapist_effect_power(design, self.formula, self.term, alpha, normal=normal)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelEffects:
    """Associations of an outcome within and between persons.

    Attributes
    ----------
    outcome, predictor
        Columns of the sessions.
    levels
        Units, innermost first.
    covariates
        Further fixed effects.
    parameters
        Pairs of a term (``"within person"``, ``"between person"``) and its true value's name. Means
        of few ratings pull a between effect towards the within effect: its bias shows how much.
    """

    outcome: str = "symptoms"
    predictor: str = "alliance"
    levels: tuple[str, ...] = ("person", "family", "therapist")
    covariates: str | None = "session"
    parameters: tuple[tuple[str, str], ...] = (
        ("within person", "symptoms.within"),
        ("between person", "symptoms.between"),
        ("between family", "symptoms.between"),
        ("between therapist", "symptoms.between"),
    )

    def __call__(self, study: Study) -> pd.DataFrame:
        """Split the predictor and fit the effects."""
        found = within_between(
            study.sessions,
            outcome=self.outcome,
            predictor=self.predictor,
            levels=self.levels,
            covariates=self.covariates,
        )
        tidy = found.tidy()
        own = tidy[tidy["effect"] != "contextual"]
        terms = [str(term) for term in own["term"]]
        parameters = [dict(self.parameters).get(term, "") for term in terms]
        return _rows(terms, own, parameters, singular=found.model.singular)

    closed_form_name = "noncentral t of deviations from persons' means"

    def closed_form(self, design: object, alpha: float) -> Mapping[str, float]:
        """Return the power of the effect within persons by formula."""
        asked = (self.outcome, self.predictor, self.covariates, self.levels[0])
        known = ("symptoms", "alliance", "session", "person")
        if not isinstance(design, StudyDesign) or asked != known:
            return {}
        return within_effect_power(design, "within person", alpha)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaggedEffect:
    """The effect of one outcome on another from one session to the next, within persons.

    Attributes
    ----------
    predictor, outcome
        The requested effect.
    nested_in
        Levels above the person.
    means
        As in :func:`~alliance_stats.panel.cross_lagged`.
    parameter
        Its true value's name.
    """

    predictor: str = "alliance"
    outcome: str = "symptoms"
    nested_in: tuple[str, ...] = ()
    means: str = "linear"
    parameter: str = "symptoms.before"

    def __call__(self, study: Study) -> pd.DataFrame:
        """Fit both outcomes together."""
        found = cross_lagged(
            study.sessions,
            outcomes=[self.predictor, self.outcome],
            person="person",
            session="session",
            nested_in=self.nested_in,
            means=self.means,
        ).tidy()
        own = found[(found["predictor"] == self.predictor) & (found["outcome"] == self.outcome)]
        term = f"{self.predictor} on {self.outcome}"
        return _rows([term], own, self.parameter, singular=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropoutEffect:
    """Predictors of dropout after a session, with therapists in the model.

    Attributes
    ----------
    predictor
        A column of families, or ``"alliance_running_mean"``.
    covariates
        Further predictors.
    link
        ``"logit"``: a log odds ratio, of which the design knows the true value. ``"cloglog"``: a
        log hazard ratio, which is nearer to 0 by a factor of 1 minus the hazard, about.
    parameter
        Its true value's name; that of the predictor among the design's, if None, and none with
        ``"cloglog"``.
    """

    predictor: str = "alliance_running_mean"
    covariates: tuple[str, ...] = ("investment", "parent_trauma", "therapist_emotion")
    link: Literal["logit", "cloglog"] = "logit"
    parameter: str | None = None

    def __call__(self, study: Study) -> pd.DataFrame:
        """Follow families from session to session."""
        sessions = study.sessions
        # every further column would be searched for means that know the future
        terms = dict.fromkeys([self.predictor, *self.covariates])
        taken = _columns_of(sessions, {*_LEFT_BY, *terms}, ids=set(_IDS) - set(terms))
        periods = person_period(
            taken.assign(attended=True),  # also where every rater skipped the last session
            unit="family",
            session="session",
            ending="ending",
            attended="attended",
            scores=["alliance"],
        )
        periods = running_mean(periods, "alliance", person="family", session="session")
        # against going on: intervals that ended otherwise, or were not seen, say nothing of it
        event, ending = periods["event"].to_numpy(), periods["ending_code"].to_numpy()
        periods = periods[~np.isnan(event) & ~((event == 0.0) & (ending != 0.0))]
        model = discrete_hazard(
            " + ".join(terms),
            periods,
            session="session",
            event="event",
            unit="family",
            known_before=list(terms),  # person_period has looked for means that know the future
            link=self.link,
            baseline="polynomial",
            baseline_df=1,
        )
        known = _HAZARD_TRUTHS.get(self.predictor, "") if self.link == "logit" else ""
        parameter = known if self.parameter is None else self.parameter
        found = _of(model.tidy(), self.predictor)
        return _rows([self.predictor], found, parameter, singular=model.fit.singular)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDifference:
    """The difference between two groups in the last session.

    Attributes
    ----------
    outcome, group
        Columns of the sessions.
    cluster
        Units that members are nested in, outermost first.
    parameter
        Its true value's name; empty for none.
    """

    outcome: str = "symptoms"
    group: str = "framework"
    cluster: tuple[str, ...] = ("therapist", "family")
    parameter: str = ""

    def __call__(self, study: Study) -> pd.DataFrame:
        """Compare each person's last session."""
        last = study.sessions.sort_values("session").groupby("person").tail(1)
        found = compare_groups(
            last, outcomes=self.outcome, group=self.group, cluster=list(self.cluster)
        ).tidy()
        return _rows(list(found["outcome"]), found, self.parameter, singular=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmDifference:
    """The difference between a trial's arms by a mixed model; for :class:`ClusterTrial`.

    Random effects of clusters, and of members if they were rated several times.

    Attributes
    ----------
    partially_nested
        Whether one arm has no clusters: there are then cluster effects in the other arm only, and
        separate residual variances.
    df_method
        Degrees of freedom.
    """

    partially_nested: bool = False
    df_method: DfMethod = "satterthwaite"

    def __call__(self, trial: pd.DataFrame) -> pd.DataFrame:
        """Fit the arms' difference."""
        members = " + (1 | member)" if "member" in trial else ""
        if self.partially_nested:
            formula = f"outcome ~ treated + (0 + treated | cluster){members}"
            model = lmm(formula, trial, residual=VarianceBy("treated"))
        else:
            model = lmm(f"outcome ~ treated + (1 | cluster){members}", trial)
        found = _of(model.tidy(df_method=self.df_method), "treated")
        return _rows(["difference"], found, "difference", singular=model.singular)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThemeDifference:
    """A theme in two groups of interviews, by an exact test; of :class:`InterviewDesign`.

    Attributes
    ----------
    test
        As in :func:`~alliance_stats.groups.compare_themes`.
    """

    test: str = "fisher"

    def __call__(self, interviews: pd.DataFrame) -> pd.DataFrame:
        """Compare the groups; a theme that all or nobody voiced has p = 1."""
        found = compare_themes(interviews, themes="theme", group="group", test=self.test).tidy()
        found["p_value"] = found["p_value"].fillna(1.0)
        return _rows(["difference"], found, "difference", singular=False)


def _read_by(formula: str, sessions: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a formula reads, ids numbered; all of them if one is absent."""
    parsed = parse_formula(formula)
    parts = [parsed.outcome, parsed.fixed, *(random.terms for random in parsed.random)]
    read = {str(column) for part in parts for column in variables_of(part)}
    ids = {str(column) for random in parsed.random for column in random.grouping} - read
    return _columns_of(sessions, read | ids, ids) if read | ids <= set(sessions) else sessions


def _columns_of(sessions: pd.DataFrame, names: set[str], ids: set[str]) -> pd.DataFrame:
    """Return some columns, those of ids as numbers in order of appearance: each is looked up once.

    Ids of which one is missing stay as they are.
    """
    columns = {name: sessions[name].array for name in sessions.columns if name in names}
    for name in ids & set(columns):
        codes = pd.factorize(sessions[name])[0]
        if (codes >= 0).all():
            columns[name] = codes
    return pd.DataFrame(columns, index=sessions.index, copy=False)


def _of(tidy: pd.DataFrame, term: str) -> dict[str, Array]:
    """Return a term's numbers.

    Raises
    ------
    NotIdentifiedError
        If the model has no such term, as when a study's therapists do not differ.
    """
    own = tidy["term"].to_numpy() == term
    if not own.any():
        raise NotIdentifiedError(
            f"The model has no term '{term}'. {did_you_mean(term, list(tidy['term']))}"
        )
    return {name: tidy[name].to_numpy()[own] for name in _NUMBERS}


def _rows(
    terms: Sequence[str],
    found: pd.DataFrame | Mapping[str, Array],
    parameter: str | Sequence[str],
    *,
    singular: bool,
) -> pd.DataFrame:
    """Return the answer's rows from those of a result."""
    numbers = {name: np.asarray(found[name]) for name in _NUMBERS}
    return pd.DataFrame({"term": terms, **numbers, "parameter": parameter, "singular": singular})
