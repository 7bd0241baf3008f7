"""How the alliance grows in families, and who drops out.

On the example study, which is simulated.
"""

from pathlib import Path

import pandas as pd

from alliance_stats.datasets import example_study
from alliance_stats.figures.flow import flow_figure
from alliance_stats.figures.group_values import estimation_figure
from alliance_stats.figures.incidence import cumulative_incidence_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.survival_curves import kaplan_meier_figure
from alliance_stats.figures.trajectories import trajectory_figure
from alliance_stats.formatting import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    p_phrase,
    plural,
)
from alliance_stats.groups import compare_groups
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.survival import LogRank, cumulative_incidence, endings, kaplan_meier, log_rank
from alliance_stats.tables import ReportTable, model_table, tidy_table
from analyses.chapter import Chapter, Numbers, Section
from analyses.simulated import (
    ALLIANCE,
    LEVELS,
    OF_ROLES,
    PARENTAL_TRAUMA,
    ROLES,
    SOURCE,
    called_simulated,
    families_of,
    rated,
)

NAME = "family_alliance"


def load() -> Study:
    """Return the simulated example study."""
    return example_study()


def main(data: Study, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    growth, growth_numbers = alliance_growth(data)
    leaving, leaving_numbers = dropout(data)
    groups, group_numbers = last_alliance(data)
    chapter = Chapter(
        name=NAME,
        title="The alliance in families",
        data="simulated",
        source=(
            f"{SOURCE} It shows what the methods do with "
            "sessions nested in persons, families and therapists; it is evidence of nothing about "
            "treatment."
        ),
        sections=(sample(data), growth, leaving, groups),
        numbers={**growth_numbers, **leaving_numbers, **group_numbers},
        headline=(
            f"alliance {format_number(growth_numbers['growth_per_session'], 3)} a session; "
            f"{format_percent(leaving_numbers['dropout_by_end'], 0)} dropped out by session "
            f"{format_count(leaving_numbers['last_session'])} (simulated)"
        ),
    )
    chapter.save(out)
    return chapter


def sample(data: Study) -> Section:
    """Say who took part."""
    described = data.describe()
    counts = described.tidy()
    units = counts[counts["about"] == "units"].set_index("term")["n"]
    sizes = counts[counts["about"] == "size"]
    table = tidy_table(
        sizes,
        {
            "term": "Size",
            "n": "n",
            "mean": "Mean",
            "sd": "SD",
            "minimum": "Minimum",
            "maximum": "Maximum",
        },
        label="tbl-alliance-sample",
        caption="Sessions, members and families of the simulated study.",
        note="n counts the units that the mean is taken over.",
        digits=1,
        source=described,
    )
    text = (
        f"{plural(int(units['therapists']), 'therapist')} saw "
        f"{plural(int(units['families']), 'family', 'families')} with "
        f"{plural(int(units['persons']), 'member')}; @tbl-alliance-sample gives their sizes. Every "
        "member rated the alliance after each attended session; some ratings are missing, and "
        "@fig-alliance-flow follows them to the model below."
    )
    flow = flow_figure(rated(data).rows, label="fig-alliance-flow")
    return Section("sec-alliance-sample", "Who took part", text, (table, called_simulated(flow)))


def growth_model(data: Study) -> LinearMixedModel:
    """Fit the alliance over sessions by role, mothers first."""
    sessions = rated(data).sessions
    return lmm(
        "alliance ~ session + role + (1 | therapist/family/person)",
        sessions.assign(role=pd.Categorical(sessions["role"], list(ROLES))),
    )


def alliance_growth(data: Study) -> tuple[Section, Numbers]:
    """Model the alliance over sessions, by role."""
    fit = growth_model(data)
    fixed = fit.tidy().set_index("term")
    variances = fit.tidy(effects="ran_pars").set_index("group")["estimate"] ** 2
    share = variances / variances.sum()
    slope, child = fixed.loc["session"], fixed.loc["role[T.child]"]
    text = (
        f"The alliance {'rose' if slope['estimate'] > 0 else 'fell'} by "
        f"{format_number(abs(slope['estimate']), 3)} points a session, 95% CI of the change "
        f"{format_interval(slope['conf_low'], slope['conf_high'], 3)}. Children rated it "
        f"{format_number(abs(child['estimate']))} points "
        f"{'lower' if child['estimate'] < 0 else 'higher'} than mothers, 95% CI of the difference "
        f"{format_interval(child['conf_low'], child['conf_high'])} (@fig-alliance-trajectories, "
        "@tbl-alliance-model).\n\n"
        f"Of the variance around these means, {format_percent(share['therapist'])} lay between "
        f"therapists, {format_percent(share['therapist:family'])} between the families of a "
        f"therapist, {format_percent(share['therapist:family:person'])} between the members of a "
        f"family and {format_percent(share['Residual'])} between the sessions of a person."
    )
    found = {
        "growth_per_session": slope["estimate"],
        "growth_low": slope["conf_low"],
        "growth_high": slope["conf_high"],
        "child_against_mother": child["estimate"],
        **{f"share_{LEVELS[group].split()[0].lower()}": part for group, part in share.items()},
    }
    numbers = numbers_from(fit, found)
    parts = (called_simulated(_trajectories(data), rated(data)), _growth_table(fit))
    return Section("sec-alliance-growth", "The alliance over sessions", text, parts), numbers


def _trajectories(data: Study) -> ReportFigure:
    return trajectory_figure(
        data.sessions.assign(
            role=lambda d: pd.Categorical(d["role"].map(ROLES), list(ROLES.values()))
        ),
        session="session",
        score="alliance",
        person="person",
        role="role",
        cluster="therapist",
        score_label=ALLIANCE,
        label="fig-alliance-trajectories",
        theme=OF_ROLES,
    )


def _growth_table(fit: LinearMixedModel) -> ReportTable:
    return model_table(
        fit,
        words={
            "(Intercept)": "Mother, session 0",
            "session": "Session",
            **{f"role[T.{role}]": f"{name} − mother" for role, name in ROLES.items()},
            **LEVELS,
        },
        label="tbl-alliance-model",
        caption="Linear mixed model of the alliance in the simulated study.",
        note="Points of the 1–7 score. Standard deviations carry no interval here.",
        digits=3,
    )


def dropout(data: Study) -> tuple[Section, Numbers]:
    """Follow families to their ending; families of a therapist are not independent."""
    families, rows = at_risk(data)
    curves = kaplan_meier(
        families, time="time", event="event", entry="entry", strata="barrier", cluster="therapist"
    )
    test = log_rank(
        families, time="time", event="event", entry="entry", group="barrier", strata="therapist"
    )
    competing = cumulative_incidence(
        families, time="time", event="ending", entry="entry", cluster="therapist"
    )
    incidence = competing.tidy()
    end = incidence[incidence["state"] == "dropout"].iloc[-1]
    together = kaplan_meier(families, time="time", event="event", entry="entry")
    pooled = together.tidy()["estimate"].iloc[-1]
    text = (
        f"{_at_risk_words(data, rows)}\n\n"
        f"After session {format_count(end['time'])}, {format_percent(end['estimate'])} of the "
        f"families had dropped out, 95% CI {format_percent(end['conf_low'])} to "
        f"{format_percent(end['conf_high'])} (cumulative incidence beside planned endings and "
        "transfers, @fig-alliance-endings; interval over therapists). One minus Kaplan-Meier, "
        "which asks how many would have dropped out had no one ended otherwise, gives "
        f"{format_percent(1 - pooled)}.\n\n"
        f"{_comparison_words(test)}"
    )
    figure = kaplan_meier_figure(
        curves, time_label="Session after which a family left", label="fig-alliance-dropout"
    )
    flow = flow_figure(rows, label="fig-alliance-families")
    numbers = {
        **numbers_from(rows, {"families_at_risk": rows.n_used}),
        **numbers_from(
            competing, {"dropout_by_end": end["estimate"], "last_session": int(end["time"])}
        ),
        **numbers_from(together, {"one_minus_kaplan_meier": 1 - pooled}),
        **numbers_from(test, {"log_rank_statistic": test.statistic, "log_rank_p": test.p_value}),
    }
    incidences = cumulative_incidence_figure(
        competing,
        time_label="Session after which a family left",
        label="fig-alliance-endings",
    )
    parts = tuple(called_simulated(part) for part in (flow, incidences, figure))
    return Section("sec-alliance-dropout", "Who drops out, and when", text, parts), numbers


def _at_risk_words(data: Study, rows: RowLedger) -> str:
    ongoing = int((data.families["ending"] == "ongoing").sum())
    return (
        f"{plural(rows.n_used, 'family', 'families')} were at risk of dropping out "
        "(@fig-alliance-families). Who attended T sessions and left has left in the interval after "
        f"session T. Of the {format_count(ongoing)} families still in treatment it is not known "
        "whether they come back after their last session: they count as at risk up to the interval "
        "before it, and one that was seen once counts in none and is left out "
        f"({plural(rows.n_set_aside, 'family', 'families')} here)."
    )


def _comparison_words(test: LogRank) -> str:
    observed = test.tidy().set_index("group")
    left = observed["n_event"] / observed["nobs"]
    return (
        "@fig-alliance-dropout compares families with and without a traumatised parent: "
        + " and ".join(
            f"{format_percent(left[name])} of the {format_count(observed.loc[name, 'nobs'])} "
            f"families with {name.lower()}"
            for name in observed.index
        )
        + " dropped out; log-rank test within therapists: "
        f"chi-squared({test.df}) = {format_number(test.statistic)}, {p_phrase(test.p_value)}."
    )


def last_alliance(data: Study) -> tuple[Section, Numbers]:
    """Compare the alliance that families with and without a traumatised parent ended with."""
    comparison = compare_groups(
        families_of(data), outcomes="last_alliance", group="barrier", cluster="therapist"
    )
    found = comparison.tidy().iloc[0]
    text = (
        "In the last session they attended, families without parental trauma rated the alliance "
        f"{format_number(found['mean_1'])} on average (n = {format_count(found['n_1'])}), those "
        f"with it {format_number(found['mean_2'])} (n = {format_count(found['n_2'])}): a "
        f"difference of {format_number(found['estimate'])} points, 95% CI "
        f"{format_interval(found['conf_low'], found['conf_high'])}, {p_phrase(found['p_value'])}, "
        "by a mixed model, since families of one therapist are not independent "
        "(@fig-alliance-last). The last session is an early one for those who dropped out."
    )
    figure = estimation_figure(
        comparison,
        outcome="last_alliance",
        outcome_label="Alliance in the last session, mean item score (1–7)",
        label="fig-alliance-last",
    )
    limits = {"difference": "estimate", "low": "conf_low", "high": "conf_high"}
    numbers = numbers_from(
        comparison, {f"last_alliance_{end}": found[name] for end, name in limits.items()}
    )
    title = "How families with and without parental trauma end"
    return Section("sec-alliance-last", title, text, (called_simulated(figure),)), numbers


def at_risk(data: Study) -> tuple[pd.DataFrame, RowLedger]:
    """Return the families of which at least one interval between sessions was observed.

    A family that was first seen late is at risk from then on (``entry``), and not before.
    """
    found = endings(data)
    barrier = found.units["parent_trauma"].map(PARENTAL_TRAUMA)
    return found.units.assign(barrier=barrier), found.rows
