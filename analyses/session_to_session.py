"""Alliance and symptoms from session to session by likelihood, beside truth and older methods.

A part of the chapter on alliance and symptoms.
"""

from dataclasses import replace

import pandas as pd

from alliance_stats.figures.lagged_paths import lagged_paths_figure
from alliance_stats.formatting import format_interval, format_number
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.panel import CrossLagged, cross_lagged
from alliance_stats.provenance import numbers_from
from alliance_stats.simulate import AllianceTruth, SymptomTruth, simulate_study
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable
from alliance_stats.tables.report_table import remembers_call
from alliance_stats.transforms import decompose, lag
from analyses.chapter import Numbers, Section, with_limits
from analyses.simulated import called_simulated

BUILT_IN = SymptomTruth(before=-2.0, carried=0.4)
SESSIONS = 8
SEED = 16
OUTCOMES = ["alliance", "symptoms"]
CENTRED = "_lag1_within_person"  # ends the names of deviations from a person's observed mean
FROM_BEFORE = {
    "alliance": "Alliance of the session before (per point)",
    "symptoms": "Symptoms of the session before (per point)",
}


def session_to_session(data: Study) -> tuple[Section, Numbers]:
    """Set lagged effects by likelihood beside the truth and regressions on centred scores."""
    example = _likelihood(data.sessions)
    known = simulate_study(
        symptoms=BUILT_IN, alliance=AllianceTruth(sd_growth=0.0), seed=SEED
    ).study.sessions
    known = known[known["session"] <= SESSIONS]
    found = _likelihood(known)
    centred = _centred(known, OUTCOMES)
    made: dict[str, CrossLagged | LinearMixedModel] = {
        "Likelihood (families and therapists kept)": found,
        "Mixed model on centred scores, with the last symptoms": centred,
        "Mixed model on centred scores, without them": _centred(known, ["alliance"]),
    }
    truth = {"alliance": BUILT_IN.before, "symptoms": BUILT_IN.carried}
    none = _on_symptoms(example).loc["alliance"]
    effect = _on_symptoms(found).loc["alliance"]
    text = (
        "The likelihood of all sessions together needs no centring. On the example study, where "
        "nothing of the session before was built in, a point of alliance above a member’s own "
        f"level went with {_points(none)} of symptoms at the next session. In a second simulated "
        f"study, in which {format_number(truth['alliance'])} points a session later and "
        f"{format_number(truth['symptoms'])} of a deviation in symptoms were built in, the "
        f"likelihood finds {_points(effect)} (@fig-outcome-paths, @tbl-outcome-lags). "
        "Ratings are simulated without error of measurement; with it, every method’s lagged "
        "effects are drawn towards zero unless the error is in the model."
    )
    figure = lagged_paths_figure(found, label="fig-outcome-paths")
    carried = _on_symptoms(centred).loc["symptoms", "estimate"]
    numbers = {
        **numbers_from(example, with_limits("example_before", none)),
        **numbers_from(found, with_limits("lagged", effect), seed=SEED),
        **numbers_from(centred, {"carried_centred": carried}, seed=SEED),
    }
    section = Section(
        "sec-outcome-lags",
        "From session to session, by likelihood",
        text,
        (called_simulated(figure, found, seed=SEED), replace(_table(made, truth), seed=SEED)),
    )
    return section, numbers


def _likelihood(sessions: pd.DataFrame) -> CrossLagged:
    return cross_lagged(
        sessions,
        outcomes=OUTCOMES,
        person="person",
        session="session",
        nested_in=["family", "therapist"],
        order=OUTCOMES,
    )


def _on_symptoms(found: CrossLagged | LinearMixedModel) -> pd.DataFrame:
    table = found.tidy()
    if isinstance(found, LinearMixedModel):
        terms = {f"{name}{CENTRED}": name for name in OUTCOMES}
        return table.assign(term=table["term"].replace(terms)).set_index("term")
    return table[table["outcome"] == "symptoms"].set_index("predictor")


def _centred(sessions: pd.DataFrame, predictors: list[str]) -> LinearMixedModel:
    """Regress symptoms on deviations of the session before from persons' observed means."""
    split = sessions
    for name in predictors:
        split = lag(split, name, person="person", session="session")
    split = split.dropna(subset=[f"{name}_lag1" for name in predictors])
    for name in predictors:
        split = decompose(split, f"{name}_lag1", levels=["person"])
    terms = " + ".join(f"{name}{CENTRED}" for name in predictors)
    return lmm(f"symptoms ~ {terms} + C(session) + (1 | therapist/family/person)", split)


def _points(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])} points, 95% CI {interval}"


@remembers_call
def _table(made: dict[str, CrossLagged | LinearMixedModel], truth: dict[str, float]) -> ReportTable:
    rows = {method: _on_symptoms(model) for method, model in made.items()}
    frame = pd.DataFrame(
        [
            {
                "Method": method,
                "Estimate": format_number(table.loc[name, "estimate"]),
                "95% CI": format_interval(
                    table.loc[name, "conf_low"], table.loc[name, "conf_high"]
                ),
                "Built in": format_number(truth[name]),
            }
            for name in OUTCOMES
            for method, table in rows.items()
            if name in table.index
        ]
    )
    sections = [FROM_BEFORE[n] for n in OUTCOMES for table in rows.values() if n in table.index]
    return ReportTable(
        frame,
        label="tbl-outcome-lags",
        caption="Effects on symptoms at the next session, by method, in a simulated study with "
        "lagged effects.",
        note=f"240 families of 30 therapists, up to {SESSIONS} sessions. Likelihood: "
        "random-intercept cross-lagged panel model with families and therapists, observed "
        "information. Centred: linear mixed models by REML, deviations from observed means.",
        sections=tuple(sections),
    )
