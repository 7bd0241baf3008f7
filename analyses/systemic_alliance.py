"""The alliance as a family system: balance, splits, ruptures, and what families leave after.

On the example study, which is simulated.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.family import (
    DropBelowRunningMean,
    FamilyBalance,
    Reliability,
    Repair,
    Ruptures,
    SplitAlliance,
    apim,
    expected_false_alarms,
    family_balance,
    family_indices,
    family_ruptures,
    rule_agreement,
    ruptures,
    split_alliance,
)
from alliance_stats.figures.dyads import actor_partner_figure
from alliance_stats.figures.family_strips import family_strips_figure
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.report import ReportFigure
from alliance_stats.figures.rupture_chart import rupture_chart_figure
from alliance_stats.figures.split_map import split_map_figure
from alliance_stats.formatting import (
    format_bounded,
    format_count,
    format_interval,
    format_number,
    format_percent,
    p_phrase,
)
from alliance_stats.multilevel import GeneralizedLinearMixedModel, LinearMixedModel, glmm, lmm
from alliance_stats.study import Study
from alliance_stats.tables import ReportTable, tidy_table
from alliance_stats.transforms import person_period, running_mean
from analyses.chapter import Chapter, Section
from analyses.simulated import ALLIANCE, ROLES, SOURCE, called_simulated

NAME = "systemic_alliance"
COLUMNS = {"family": "family", "person": "person", "session": "session", "score": "alliance"}
# invented, as the study is: a scale of this reliability in a sample of this SD
RELIABILITY = Reliability(0.85, sd=0.8, seed=11)
RULE = DropBelowRunningMean(k=2.0, sd="within", min_before=2)
REPAIR = Repair(share=0.75, within=3)
FRAMEWORKS = ["usual", "trauma-informed"]
STRATA = "experience_group"
HAZARD_TERMS = {
    "alliance_running_mean": "Family’s mean alliance so far, per point",
    "split_so_far": "Split at some session so far",
    "rupture_so_far": "A member’s rupture so far",
    "investment": "Parents’ investment, per SD",
    "therapist_emotion": "Therapist’s emotion, per SD",
}
BARRIERS = "investment + parent_trauma * framework + therapist_emotion"


def load() -> Study:
    """Return the simulated example study."""
    return example_study()


def main(data: Study, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    splits, found = split_of(data), ruptures_of(data)
    periods = periods_of(data, splits, found)
    parts = (
        balance(data),
        split_families(data, splits),
        rupture_and_repair(found),
        leaving(data, periods),
        two_members(data),
    )
    numbers = {name: value for _, own in parts for name, value in own.items()}
    chapter = Chapter(
        name=NAME,
        title="The alliance as a family system",
        data="simulated",
        source=(
            f"{SOURCE} What is asked follows therapists’ accounts of an alliance with the family "
            "as a system (Perkins, Glass & D’Aniello 2019, doi:10.1007/s10591-019-09500-1), which "
            "estimate nothing; no number here is a result of theirs."
        ),
        sections=tuple(section for section, _ in parts),
        numbers=numbers,
        headline=(
            f"{format_percent(numbers['split_share'])} of family sessions split, "
            f"{format_percent(numbers['split_by_error'])} by measurement error alone; "
            f"{format_percent(numbers['repaired_share'])} of ruptures repaired (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


# -- what is computed ---------------------------------------------------------------------------


def split_of(data: Study, *, sd: Literal["sample", "within"] = "sample") -> SplitAlliance:
    """Call a family split where its members lie one SD apart."""
    indices = family_indices(
        data.sessions,
        family="family",
        person="person",
        session="session",
        score="alliance",
        reliability=RELIABILITY,
    )
    return split_alliance(indices, threshold=1.0, sd=sd)


def ruptures_of(data: Study) -> Ruptures:
    """Find ratings that fall below the person's own running mean."""
    return ruptures(
        data.sessions,
        person="person",
        session="session",
        score="alliance",
        family="family",
        rule=RULE,
        repair=REPAIR,
    )


def periods_of(data: Study, splits: SplitAlliance, found: Ruptures) -> pd.DataFrame:
    """Return a row a family and interval, with what was known at the session before it."""
    periods = person_period(
        data.sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    )
    periods = running_mean(periods, "alliance", person="family", session="session")
    keys = ["family", "session"]
    so_far = splits.table[[*keys, "split_so_far"]]
    who = family_ruptures(found, seed=1, shuffles=1).table.sort_values(keys)
    # 1 from the session on at which the first rupture of a member was known
    who["rupture_so_far"] = (who.groupby("family")["n_ruptured"].cumsum() > 0).astype(float)
    table = periods.merge(so_far, on=keys, how="left").merge(
        who[[*keys, "rupture_so_far"]], on=keys, how="left"
    )
    known = ["split_so_far", "rupture_so_far"]
    table[known] = table.groupby("family")[known].ffill()
    return table.assign(framework=pd.Categorical(table["framework"], FRAMEWORKS))


def hazard(periods: pd.DataFrame) -> GeneralizedLinearMixedModel:
    """Model the odds of dropping out after a session, given what was known at it."""
    return glmm(
        f"event ~ session + alliance_running_mean + split_so_far + rupture_so_far + {BARRIERS}"
        " + (1 | therapist)",
        periods,
    )


def mediator(periods: pd.DataFrame) -> LinearMixedModel:
    """Model the family's mean alliance so far on the barriers."""
    return lmm(
        f"alliance_running_mean ~ session + {BARRIERS} + (1 | therapist/family)",
        periods[periods["event"].notna()],
    )


def indirect_effects(
    first: LinearMixedModel, second: GeneralizedLinearMixedModel, *, seed: int, draws: int = 50_000
) -> pd.DataFrame:
    """Return parental trauma -> alliance -> dropout under each framework, log odds.

    The product of both paths, with quantiles over normal draws of either (the Monte Carlo method:
    MacKinnon, Lockwood & Williams 2004, doi:10.1207/s15327906mbr3901_4), the two models' errors
    taken as independent.
    """
    rng = np.random.default_rng(seed)
    product = "parent_trauma:framework[T.trauma-informed]"
    names = ["parent_trauma", product]
    a = rng.multivariate_normal(first.beta[names], first.vcov().loc[names, names], size=draws)
    path = second.tidy().set_index("term").loc["alliance_running_mean"]
    b = rng.normal(path["estimate"], path["std_error"], size=draws)
    rows = []
    for framework, weights in zip(FRAMEWORKS, ([1.0, 0.0], [1.0, 1.0]), strict=True):
        drawn = a @ np.asarray(weights) * b
        to_alliance = float(first.beta[names].to_numpy() @ weights)
        low, high = np.quantile(drawn, [0.025, 0.975])
        rows.append(
            {
                "term": framework,
                "to_alliance": to_alliance,
                "estimate": to_alliance * path["estimate"],
                "conf_low": float(low),
                "conf_high": float(high),
            }
        )
    return pd.DataFrame(rows)


def balance_model(data: Study, *, spread_by: str) -> FamilyBalance:
    """Fit members' ratings with a spread of their own in each stratum of families."""
    sessions = data.sessions
    years = sessions.drop_duplicates("therapist")["experience"].median()
    groups = np.where(sessions["experience"] <= years, "less experienced", "more experienced")
    table = sessions.assign(
        role=pd.Categorical(sessions["role"], list(ROLES)),
        experience=sessions["experience"] - years,
        framework=pd.Categorical(sessions["framework"], FRAMEWORKS),
        **{STRATA: groups},
    )
    return family_balance(
        f"alliance ~ session + role * experience + {BARRIERS}",
        table,
        family="family",
        person="person",
        therapist="therapist",
        spread_by=spread_by,
    )


# -- what is shown ------------------------------------------------------------------------------


def balance(data: Study) -> tuple[Section, dict[str, float]]:
    """Ask whether experience or framework go with level and balance of families' alliances."""
    fits = {by: balance_model(data, spread_by=by) for by in (STRATA, "framework")}
    deviations = {by: fit.deviations().set_index("term") for by, fit in fits.items()}
    test = fits[STRATA].test()
    fixed = fits[STRATA].model.tidy().set_index("term")
    level, child = fixed.loc["experience"], fixed.loc["role[T.child]:experience"]
    text = (
        "With each year of experience mothers rated the alliance "
        f"{format_number(level['estimate'], 3)} points higher, 95% CI "
        f"{format_interval(level['conf_low'], level['conf_high'], 3)}, and the gap of children to "
        f"mothers changed by {format_number(child['estimate'], 3)}, 95% CI "
        f"{format_interval(child['conf_low'], child['conf_high'], 3)}. How far members lie from "
        "one another is modelled as their spread around the family, and no rating is subtracted "
        "from another (@tbl-systemic-spread). Mean absolute deviations with more experienced "
        f"therapists, less those with less experienced ones: {_points(_lasting(deviations))} "
        f"between members’ own levels, {_points(deviations[STRATA].loc['momentary'])} from session "
        "to session. The simulation built in no such difference"
        f"{_chance(_lasting(deviations), deviations[STRATA].loc['momentary'])}. "
        "A likelihood-ratio test of equal "
        f"variances says χ²({test.df}) = {format_number(test.statistic)}, "
        f"{p_phrase(test.p_value)}; it takes ratings for normal, which ruptures and split families "
        "are not, and rejects too often."
    )
    rows = [
        {
            "Stratum": str(stratum).capitalize(),
            "Lasting SD": format_number(own.loc["lasting"]),
            "Momentary SD": format_number(own.loc["momentary"]),
        }
        for fit in fits.values()
        for stratum, own in fit.tidy()
        .pivot_table(index="level", columns="term", values="estimate", sort=False)
        .loc[list(fit.strata)]
        .iterrows()
    ]
    table = ReportTable(
        pd.DataFrame(rows),
        label="tbl-systemic-spread",
        caption="Spread of the members of a family, points of the alliance, in the simulated "
        "study.",
        note="Lasting: between members’ own levels; momentary: of a rating around its member’s "
        "level, with measurement error. REML, given session, role, experience and barriers. "
        "Standard deviations carry no interval here.",
    )
    numbers = {
        "experience_level": level["estimate"],
        "experience_level_low": level["conf_low"],
        "experience_level_high": level["conf_high"],
        "experience_gap": child["estimate"],
        "experience_gap_low": child["conf_low"],
        "experience_gap_high": child["conf_high"],
        "spread_experience_p": test.p_value,
        "lasting_experience": _lasting(deviations)["estimate"],
        "lasting_experience_low": _lasting(deviations)["conf_low"],
        "lasting_experience_high": _lasting(deviations)["conf_high"],
        "momentary_framework": deviations["framework"].loc["momentary", "estimate"],
    }
    title = "Level and balance"
    return Section("sec-systemic-balance", title, text, (table,)), numbers


def split_families(data: Study, splits: SplitAlliance) -> tuple[Section, dict[str, float]]:
    """Show which families were split, and how many measurement error alone would split."""
    shares = splits.tidy().set_index("term")
    observed = shares.loc["split"]
    by_error = shares.loc["expected from measurement error", "estimate"]
    other = split_of(data, sd="within")
    agreement = rule_agreement(splits, other, seed=1).tidy().iloc[0]
    text = (
        "A family counts as split at a session where two of its members lie at least one SD of "
        f"all ratings so far apart: {format_percent(observed['estimate'])} of the family sessions "
        "that could be judged, 95% CI "
        f"{format_percent(observed['conf_low'])} to {format_percent(observed['conf_high'])} over "
        f"families (@fig-systemic-splits). With a reliability of "
        f"{format_bounded(float(np.asarray(RELIABILITY.value)))} measurement error alone would "
        f"split {format_percent(by_error)} if all members of a family were alike. With the SD "
        "within families in place of that of all ratings, "
        f"{format_percent(agreement['n_second'] / agreement['of'])} are split; kappa of the two "
        f"rules is {format_bounded(agreement['estimate'])}, 95% CI "
        f"[{format_bounded(agreement['conf_low'])}, {format_bounded(agreement['conf_high'])}]. "
        "@fig-systemic-strips shows the families that were split most often."
    )
    often = (
        splits.table.groupby("family")["split"].sum().sort_values(ascending=False, kind="stable")
    )
    strips = family_strips_figure(
        data.sessions,
        role="role",
        families=list(often.index[:6]),
        score_label=ALLIANCE,
        label="fig-systemic-strips",
        **COLUMNS,
    )
    parts = (
        called_simulated(split_map_figure(splits, label="fig-systemic-splits")),
        called_simulated(strips),
    )
    numbers = {
        "split_share": observed["estimate"],
        "split_share_low": observed["conf_low"],
        "split_share_high": observed["conf_high"],
        "split_by_error": by_error,
        "split_kappa": agreement["estimate"],
    }
    return Section("sec-systemic-splits", "Split alliances", text, parts), numbers


def rupture_and_repair(found: Ruptures) -> tuple[Section, dict[str, float]]:
    """Show how often ratings fell below a person's own course, and whether they came back."""
    shares = found.tidy().set_index("term")
    error = float(np.asarray(RELIABILITY.sd)) * np.sqrt(1 - float(np.asarray(RELIABILITY.value)))
    alarms = expected_false_alarms(found, error=error)
    families = family_ruptures(found, seed=1)
    together = families.glance().iloc[0]
    sessions, repaired = shares.loc["sessions"], shares.loc["repaired"]
    text = (
        f"A rupture is a rating {RULE.words}: {format_count(sessions['n'])} of "
        f"{format_count(sessions['of'])} ratings that could be judged "
        f"({format_percent(sessions['estimate'], 1)}). A constant alliance, measured with an error "
        f"of {format_number(error)} points, would have given "
        f"{format_number(alarms.expected, 1)}. Of the episodes of which it could be said, "
        f"{format_percent(repaired['estimate'])} were repaired ({REPAIR.words}); "
        "@fig-systemic-rupture shows one person. Several members of a family ruptured at the same "
        f"session {format_count(together['n_together'])} times, where shuffled sessions give "
        f"{format_number(together['expected'], 1)} ({p_phrase(together['p_value'])}): in the "
        "simulation members rupture independently."
    )
    most = found.episodes.groupby("person")["depth"].agg(["size", "max"])
    person = most.sort_values(["size", "max"], ascending=False, kind="stable").index[0]
    figure = rupture_chart_figure(
        found, person=person, score_label=ALLIANCE, label="fig-systemic-rupture"
    )
    numbers = {
        "rupture_share": sessions["estimate"],
        "false_alarms_share": alarms.expected / alarms.of,
        "repaired_share": repaired["estimate"],
        "together": together["n_together"],
        "together_expected": together["expected"],
    }
    title = "Rupture and repair"
    return Section("sec-systemic-ruptures", title, text, (called_simulated(figure),)), numbers


def leaving(data: Study, periods: pd.DataFrame) -> tuple[Section, dict[str, float]]:
    """Ask what families leave after, and which way parental trauma takes."""
    second, first = hazard(periods), mediator(periods)
    fixed = second.tidy().set_index("term")
    indirect = indirect_effects(first, second, seed=5)
    outcome = outcome_model(data, periods).tidy().set_index("term")
    split, rupture = fixed.loc["split_so_far"], fixed.loc["rupture_so_far"]
    level = fixed.loc["alliance_running_mean"]
    usual, informed = (row for _, row in indirect.iterrows())
    text = (
        "Each predictor of @fig-systemic-leaving was known at the session before the interval in "
        f"which a family left. A point more of mean alliance so far went with {_times(level)} the "
        f"odds of dropping out, an earlier split with {_times(split)}, an earlier rupture with "
        f"{_times(rupture)}. The simulation lets dropout depend on the mean alliance so far, and "
        f"on no split or rupture beyond it{_chance(split, rupture)}.\n\n"
        "Symptoms at a session, given the same, differed by "
        f"{_points(outcome.loc['split_so_far'])} after a split and by "
        f"{_points(outcome.loc['rupture_so_far'])} after a rupture.\n\n"
        "Parental trauma may lower the alliance, and a lower alliance raise dropout: this indirect "
        f"path was {format_number(usual['estimate'])} log odds, 95% CI "
        f"{format_interval(usual['conf_low'], usual['conf_high'])}, under the usual framework and "
        f"{format_number(informed['estimate'])}, 95% CI "
        f"{format_interval(informed['conf_low'], informed['conf_high'])}, under the "
        "trauma-informed one (@tbl-systemic-indirect). It is a path of a model: that nothing else "
        "moves alliance and dropout both is assumed, not shown."
    )
    parts = (called_simulated(_hazard_figure(fixed)), _indirect_table(indirect))
    numbers = {
        "alliance_log_odds": level["estimate"],
        "alliance_log_odds_low": level["conf_low"],
        "alliance_log_odds_high": level["conf_high"],
        "split_log_odds": split["estimate"],
        "split_log_odds_low": split["conf_low"],
        "split_log_odds_high": split["conf_high"],
        "rupture_log_odds": rupture["estimate"],
        "rupture_z": rupture["statistic"],
        "symptoms_split": outcome.loc["split_so_far", "estimate"],
        "symptoms_rupture": outcome.loc["rupture_so_far", "estimate"],
        "indirect_usual": usual["estimate"],
        "indirect_usual_low": usual["conf_low"],
        "indirect_usual_high": usual["conf_high"],
        "indirect_informed": informed["estimate"],
        "indirect_informed_low": informed["conf_low"],
        "indirect_informed_high": informed["conf_high"],
    }
    return Section("sec-systemic-leaving", "What families leave after", text, parts), numbers


def outcome_model(data: Study, periods: pd.DataFrame) -> LinearMixedModel:
    """Model members' symptoms on what was known of their family by the session."""
    known = periods[
        ["family", "session", "alliance_running_mean", "split_so_far", "rupture_so_far"]
    ]
    sessions = data.sessions.merge(known, on=["family", "session"], how="left")
    return lmm(
        "symptoms ~ session + role + alliance_running_mean + split_so_far + rupture_so_far"
        " + (1 | therapist/family/person)",
        sessions,
    )


def two_members(data: Study) -> tuple[Section, dict[str, float]]:
    """Ask whether symptoms go with one's own and with the other's alliance."""
    sessions = data.sessions
    first = sessions[(sessions["session"] == 1) & sessions["role"].isin(["mother", "child"])]
    model = apim(
        first,
        dyad="family",
        member="role",
        outcome="symptoms",
        predictors="alliance",
        therapist="therapist",
    )
    tidy = model.tidy().set_index(["effect", "role"])
    own, partner = tidy.loc[("actor", "child")], tidy.loc[("partner", "child")]
    test = model.distinguishability()
    text = (
        "At the first session a point more of a child’s own alliance went with "
        f"{_points(own)} of the child’s symptoms, a point more of the mother’s with "
        f"{_points(partner)} (@fig-systemic-dyads). Whether mothers and children differ in mean, "
        f"effects or spread: χ²({test.df}) = {format_number(test.statistic)}, "
        f"{p_phrase(test.p_value)}. The simulation built in effects of one’s own alliance alone."
    )
    figure = actor_partner_figure(
        model, outcome_label="Symptom points per alliance point", label="fig-systemic-dyads"
    )
    numbers = {
        "actor_child": own["estimate"],
        "partner_child": partner["estimate"],
        "partner_child_low": partner["conf_low"],
        "partner_child_high": partner["conf_high"],
        "distinguishable_p": test.p_value,
    }
    title = "Mother and child"
    return Section("sec-systemic-dyads", title, text, (called_simulated(figure),)), numbers


def _hazard_figure(fixed: pd.DataFrame) -> ReportFigure:
    own = fixed.loc[list(HAZARD_TERMS)]
    ratios = np.exp(own[["estimate", "conf_low", "conf_high"]])
    return forest_figure(
        ratios.assign(term=list(HAZARD_TERMS.values()))[
            ["term", "estimate", "conf_low", "conf_high"]
        ],
        estimate_label="Odds ratio of dropping out after a session",
        method="Discrete-time hazard model (logit, Laplace) with a random effect of the therapist, "
        "adjusted for session and for parental trauma by framework; Wald intervals",
        label="fig-systemic-leaving",
    )


def _indirect_table(indirect: pd.DataFrame) -> ReportTable:
    return tidy_table(
        indirect.assign(term=indirect["term"].str.capitalize()),
        {
            "term": "Framework",
            "to_alliance": "Trauma → alliance",
            "estimate": "Indirect, log odds",
            "conf_low": "95% CI",
        },
        label="tbl-systemic-indirect",
        caption="Parental trauma, alliance and dropout by framework in the simulated study.",
        note="Trauma → alliance: points of the family’s mean alliance so far (linear mixed model). "
        "Indirect: that times the log odds of dropout per point of alliance; Monte Carlo "
        "interval of 50,000 draws, both models’ errors taken as independent.",
    )


def _chance(*rows: pd.Series) -> str:
    """Say so where an interval leaves out an effect of zero that was built in."""
    missed = any(row["conf_low"] > 0 or row["conf_high"] < 0 for row in rows)
    return (
        " (an interval that leaves out no effect all the same is what chance gives one time in 20)"
        if missed
        else ""
    )


def _times(row: pd.Series) -> str:
    ratio, low, high = (float(np.exp(row[c])) for c in ("estimate", "conf_low", "conf_high"))
    interval = format_interval(low, high)
    return f"{format_number(ratio)} times (95% CI {interval}, {p_phrase(row['p_value'])})"


def _lasting(deviations: dict[str, pd.DataFrame]) -> pd.Series:
    return deviations[STRATA].loc["lasting"]


def _points(row: pd.Series) -> str:
    interval = format_interval(row["conf_low"], row["conf_high"])
    return f"{format_number(row['estimate'])} points (95% CI {interval})"
