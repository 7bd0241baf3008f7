"""What families leave after: the alliance so far, a split, a rupture."""

import pandas as pd

from alliance_stats.family import Ruptures, SplitAlliance, family_ruptures
from alliance_stats.figures.forest import forest_figure
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.formatting import format_count, plural
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.survival import DiscreteHazard, discrete_hazard, endings
from alliance_stats.transforms import running_mean
from analyses.chapter import Numbers, Section, with_limits
from analyses.simulated import called_simulated, chance
from analyses.systemic.balance import BARRIERS, FRAMEWORKS
from analyses.systemic.wording import points, times

__all__ = ["SO_FAR", "hazard", "leaving", "outcome_model", "periods_of"]

SO_FAR = ("alliance_running_mean", "split_so_far", "rupture_so_far")
TERMS = {
    "alliance_running_mean": "Family’s mean alliance so far, per point",
    "split_so_far": "Split at some session so far",
    "rupture_so_far": "A member’s rupture so far",
    "investment": "Parents’ investment, per SD",
    "therapist_emotion": "Therapist’s emotion, per SD",
}


def periods_of(data: Study, splits: SplitAlliance, found: Ruptures) -> pd.DataFrame:
    """Return a row per family and session, with what was known by then of its alliance."""
    periods = endings(data).periods(("alliance",))
    periods = running_mean(periods, "alliance", person="family", session="session")
    keys = ["family", "session"]
    so_far = splits.table[[*keys, "split_so_far"]]
    who = family_ruptures(found, seed=1, n_resamples=1).table.sort_values(keys)
    # 1 from the session on at which the first rupture of a member was known
    who["rupture_so_far"] = (who.groupby("family")["n_ruptured"].cumsum() > 0).astype(float)
    table = periods.merge(so_far, on=keys, how="left").merge(
        who[[*keys, "rupture_so_far"]], on=keys, how="left"
    )
    known = ["split_so_far", "rupture_so_far"]
    table[known] = table.groupby("family")[known].ffill()
    return table.assign(framework=pd.Categorical(table["framework"], FRAMEWORKS))


def hazard(periods: pd.DataFrame) -> DiscreteHazard:
    """Model the families' hazard of dropout by what was known at the session before."""
    return discrete_hazard(
        f"{' + '.join(SO_FAR)} + {BARRIERS}",
        periods,
        session="session",
        event="event",
        unit="family",
        random="(1 | therapist)",
    )


def outcome_model(data: Study, periods: pd.DataFrame) -> LinearMixedModel:
    """Model members' symptoms by what was known of their family by the session."""
    known = periods[["family", "session", *SO_FAR]]
    return lmm(
        f"symptoms ~ session + role + {' + '.join(SO_FAR)} + (1 | therapist/family/person)",
        data.sessions.merge(known, on=["family", "session"], how="left"),
    )


def leaving(data: Study, periods: pd.DataFrame, fit: DiscreteHazard) -> tuple[Section, Numbers]:
    """Ask what dropout and symptoms follow."""
    ratios = fit.hazard_ratios().set_index("term")
    level, split, rupture = (ratios.loc[term] for term in SO_FAR)
    model = outcome_model(data, periods)
    outcome = model.tidy().set_index("term")
    text = (
        "Each predictor of @fig-systemic-leaving was known at the session before the interval in "
        "which a family left. A point more of mean alliance so far went with "
        f"{times(level)} the hazard of dropping out, an earlier split with {times(split)}, an "
        f"earlier rupture with {times(rupture)}; {plural(fit.n_event, 'dropout')} of "
        f"{format_count(fit.glance()['n_units'].iloc[0])} families. The simulation lets dropout "
        "depend on the mean alliance so far, and on no split or rupture beyond it"
        f"{chance(split, rupture, nothing=1.0)}.\n\n"
        "Symptoms at a session, given the same, differed by "
        f"{points(outcome.loc['split_so_far'])} after a split and by "
        f"{points(outcome.loc['rupture_so_far'])} after a rupture."
    )
    hazards = {
        **with_limits("alliance_hazard_ratio", level),
        **with_limits("split_hazard_ratio", split),
        **with_limits("rupture_hazard_ratio", rupture),
    }
    symptoms = {
        "symptoms_split": outcome.loc["split_so_far", "estimate"],
        "symptoms_rupture": outcome.loc["rupture_so_far", "estimate"],
    }
    numbers = numbers_from(fit, hazards) | numbers_from(model, symptoms)
    figure = called_simulated(_hazard_figure(fit), fit)
    return Section("sec-systemic-leaving", "What families leave after", text, (figure,)), numbers


def _hazard_figure(fit: DiscreteHazard) -> ReportFigure:
    ratios = fit.hazard_ratios().set_index("term").loc[list(TERMS)]
    return forest_figure(
        ratios.assign(term=list(TERMS.values()))[["term", "estimate", "conf_low", "conf_high"]],
        estimate_label="Hazard ratio of dropout",
        method="Discrete-time hazard model (cloglog link, a level each session, therapists "
        "random), adjusted for parental trauma by framework; Wald intervals",
        label="fig-systemic-leaving",
    )
