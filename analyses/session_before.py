"""Symptoms and the alliance at the session before: what centring a short series does to a lag.

A part of the chapter on alliance and symptoms; the numbers are those of the simulated study.
"""

import pandas as pd

from alliance_stats.figures.levels import slopes_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import format_df, format_interval, format_number, format_p
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, WithinBetween, lmm, within_between
from alliance_stats.provenance import numbers_from
from alliance_stats.simulate import SymptomTruth
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable
from alliance_stats.tables.report_table import remembers_call
from alliance_stats.transforms import decompose, lag
from analyses.chapter import Numbers, Section, with_limits
from analyses.simulated import called_simulated

NESTED = ["person", "family", "therapist"]
COVARIATES = "session + role"
BEFORE = "alliance_lag1"
EFFECTS = {
    "within person": "Within persons",
    "between person": "Between members of a family",
    "between family": "Between families of a therapist",
    "between therapist": "Between therapists",
}
TRUTH = SymptomTruth()


def with_the_session_before(data: Study) -> tuple[pd.DataFrame, RowLedger]:
    """Return the sessions that have an alliance rating one session earlier."""
    sessions = lag(data.sessions, "alliance", person="person", session="session")
    rows = RowLedger.start(
        sessions,
        {
            "therapist": ("therapist",),
            "family": ("therapist", "family"),
            "member": ("therapist", "family", "person"),
        },
    )
    first = sessions.groupby("person")["session"].transform("min")
    later, rows = rows.keep(
        sessions, sessions["session"] > first, reason="first session: none came before it"
    )
    return rows.keep(
        later, later[BEFORE].notna(), reason="alliance of the session before was not rated"
    )


def effect_of(sessions: pd.DataFrame, predictor: str) -> WithinBetween:
    """Split an alliance score into its levels and estimate what each goes with."""
    return within_between(
        sessions, outcome="symptoms", predictor=predictor, levels=NESTED, covariates=COVARIATES
    )


def both_sessions(sessions: pd.DataFrame) -> LinearMixedModel:
    """Fit the alliance of the same session and the one before side by side."""
    rated = sessions.dropna(subset=["alliance", BEFORE])
    split = decompose(decompose(rated, "alliance", levels=NESTED), BEFORE, levels=NESTED[:1])
    return lmm(
        f"symptoms ~ alliance_within_person + {BEFORE}_within_person + alliance_person_in_family"
        f" + alliance_family_in_therapist + alliance_therapist_mean + {COVARIATES}"
        " + (1 | therapist/family/person)",
        split,
    )


def centring_bias(n_ratings: pd.Series, effect: float) -> float:
    r"""Return what a lagged effect shows by centring alone, where the same session has `effect`.

    A rating among the `n` that a person's mean is taken over holds ``1/n`` of that mean, so the
    deviation of one session is negatively correlated with the next. For independent ratings,

    .. math:: -\,\mathrm{effect} \; \frac{\sum_i (n_i - 1)/n_i}{\sum_i (n_i - 1)}

    over persons i: the bias of order ``1/n`` that Nickell (1981, doi:10.2307/1911408) found for
    lagged outcomes.
    """
    spare = n_ratings - 1
    return float(-effect * (spare / n_ratings).sum() / spare.sum())


def alliance_before(
    data: Study, sessions: pd.DataFrame, before: WithinBetween
) -> tuple[Section, Numbers]:
    """Set the effect of the alliance at the previous session beside that of the same session."""
    same = effect_of(data.sessions, "alliance")
    both_model = both_sessions(sessions)
    both = both_model.tidy().set_index("term")
    lagged, now = before.tidy().set_index("term"), same.tidy().set_index("term")
    within, person = lagged.loc["within person"], lagged.loc["between person"]
    n_ratings = sessions.groupby("person").size()
    bias = centring_bias(n_ratings, now.loc["within person", "estimate"])
    alone = both.loc[f"{BEFORE}_within_person"]
    reliable = before.reliability.set_index("level")["mean"]
    text = (
        "A member whose alliance was a point above their own average at the session before had "
        f"symptoms {_difference(within)} (@fig-outcome-slopes, @tbl-outcome-effects). Between "
        f"members of a family, a point more in the mean alliance went with {_difference(person)}.\n"
        "\nThe first of these numbers must not be read as it stands. Each person’s mean holds the "
        f"very ratings that deviate from it, {format_number(n_ratings.mean(), 1)} of them on "
        "average, so that a high rating at one session makes the next one look low. With the "
        "effect that the same session has here, this alone makes a lagged effect of "
        f"{format_number(bias)}: the bias of short series that Nickell (1981) described, for which "
        "person-mean centring beside lagged scores is enough (Falkenström et al. 2013 discuss it "
        "for the alliance). It does not shrink with more persons, only with more sessions of each. "
        "With the same session’s alliance in the model, the effect of the one before is "
        f"{_difference(alone)}; none was built in. No lagged symptom score stands in these models; "
        "one would bring the same bias with it.\n\n"
        "Means of few ratings are unreliable, which pulls effects between units towards the effect "
        f"below them: reliability was {format_number(reliable['person'])} for members, "
        f"{format_number(reliable['family'])} for families and "
        f"{format_number(reliable['therapist'])} for therapists. "
        "@fig-outcome-flow counts the sessions that have one before them."
    )
    parts = (called_simulated(_slopes(before), before), _table(before, same, both_model))
    numbers = {
        **numbers_from(
            before,
            with_limits("before_within", within) | {"before_between_members": person["estimate"]},
        ),
        **numbers_from(same, with_limits("same_within", now.loc["within person"])),
        **numbers_from(both_model, with_limits("before_beside_same", alone)),
        **numbers_from(
            sessions,
            {"centring_bias": bias, "ratings_per_person": float(n_ratings.mean())},
        ),
    }
    title = "The alliance at the session before"
    return Section("sec-outcome-alliance", title, text, parts), numbers


def _difference(row: pd.Series) -> str:
    points, side = format_number(abs(row["estimate"])), "higher" if row["estimate"] > 0 else "lower"
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{points} points {side}, 95% CI {interval}"


def _slopes(effects: WithinBetween) -> ReportFigure:
    return slopes_figure(
        effects,
        predictor_label="alliance at the session before (points)",
        outcome_label="symptoms (points)",
        reach="sd",
        words=EFFECTS,
        label="fig-outcome-slopes",
    )


@remembers_call
def _table(before: WithinBetween, same: WithinBetween, both: LinearMixedModel) -> ReportTable:
    contextual = {f"contextual {level}": f"Contextual, {level}" for level in NESTED}
    known = {name: format_number(TRUTH.between) for name in EFFECTS}
    beyond = dict.fromkeys(contextual, format_number(0))
    sections = {
        "Alliance at the session before": (
            before.tidy().set_index("term"),
            EFFECTS | contextual,
            known
            | beyond
            | {"within person": format_number(0), "contextual person": known["between person"]},
        ),
        "Alliance in the same session": (
            same.tidy().set_index("term"),
            EFFECTS,
            known | {"within person": format_number(TRUTH.within)},
        ),
        "Both sessions in one model": (
            both.tidy().set_index("term"),
            {
                "alliance_within_person": "Within persons, same session",
                f"{BEFORE}_within_person": "Within persons, session before",
            },
            {
                "alliance_within_person": format_number(TRUTH.within),
                f"{BEFORE}_within_person": format_number(0),
            },
        ),
    }
    rows = [
        {
            "Effect": words,
            "Estimate": format_number(table.loc[term, "estimate"]),
            "95% CI": format_interval(table.loc[term, "conf_low"], table.loc[term, "conf_high"]),
            "df": format_df(table.loc[term, "df"]),
            "p": format_p(table.loc[term, "p_value"]),
            "Built in": truth[term],
        }
        for table, names, truth in sections.values()
        for term, words in names.items()
    ]
    return ReportTable(
        pd.DataFrame(rows),
        label="tbl-outcome-effects",
        caption="Symptoms per point of alliance, by level, in the simulated study.",
        note="Linear mixed models by REML with session and role as covariates, sessions nested in "
        "persons, families and therapists; df by Satterthwaite. A contextual effect is what a "
        "level’s mean goes with over and above the effect one level below. Built in: what the "
        "simulation used, for true and not observed means.",
        sections=tuple(name for name, (_, names, _) in sections.items() for _ in names),
    )
