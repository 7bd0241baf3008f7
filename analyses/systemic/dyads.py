"""Two at a time: mother and child, and the therapist with the mother of every family."""

import pandas as pd

from alliance_stats.family import OneWithMany, apim, one_with_many
from alliance_stats.figures.dyads import actor_partner_figure, one_with_many_figure
from alliance_stats.formatting import (
    format_bounded,
    format_number,
    format_percent,
    p_phrase,
    plural,
)
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from analyses.chapter import Numbers, Section, with_limits
from analyses.simulated import built_in, called_simulated, chance
from analyses.systemic.wording import points

__all__ = ["each_other", "therapists_and_mothers", "two_members"]

DRAWS, SEED = 200, 7


def two_members(data: Study) -> tuple[Section, Numbers]:
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
        f"{points(own)} of the child’s symptoms, a point more of the mother’s with "
        f"{points(partner)} (@fig-systemic-dyads). Whether mothers and children differ in mean, "
        f"effects or spread: χ²({test.df}) = {format_number(test.statistic)}, "
        f"{p_phrase(test.p_value)}. The simulation built in effects of one’s own alliance alone"
        f"{chance(partner)}; but symptoms follow a person’s lasting alliance more than a single "
        "rating, and of that the other’s rating tells a little too, so that some tenths of a point "
        "of a partner effect are to be expected."
    )
    figure = actor_partner_figure(
        model, outcome_label="Symptom points per alliance point", label="fig-systemic-dyads"
    )
    numbers = {
        **numbers_from(
            model, {"actor_child": own["estimate"], **with_limits("partner_child", partner)}
        ),
        **numbers_from(test, {"distinguishable_p": test.p_value}),
    }
    title = "Mother and child"
    return Section("sec-systemic-dyads", title, text, (called_simulated(figure, model),)), numbers


def therapists_and_mothers(data: Study) -> OneWithMany:
    """Model how mothers and their therapists rate one another at the first session.

    One member per family: members of one family would not be independent given the therapist.
    """
    sessions = data.sessions
    return one_with_many(
        sessions[(sessions["session"] == 1) & (sessions["role"] == "mother")],
        therapist="therapist",
        client="person",
        by_client="alliance",
        by_therapist="therapist_alliance",
    )


def each_other(data: Study) -> tuple[Section, Numbers]:
    """Ask what of an alliance is the therapist's, and whether both sides see the same."""
    model = therapists_and_mothers(data)
    intervals = model.bootstrap(seed=SEED, n_resamples=DRAWS)
    found = intervals.tidy().set_index("term")
    tests = {
        "generalized reciprocity": model.generalized_reciprocity_test(),
        "dyadic reciprocity": model.dyadic_reciprocity_test(),
    }
    truth = built_in("one_with_many")
    share = {
        source: truth[f"{source}|therapist"]
        / (truth[f"{source}|therapist"] + truth[f"{source}|dyad"])
        for source in ("client", "therapist")
    }
    said = {
        term: f"{_correlation(found.loc[term])}, {p_phrase(test.p_value)}; "
        f"{format_bounded(truth[term])} was built in"
        for term, test in tests.items()
    }
    n = plural(int(model.glance()["n_dyads"].iloc[0]), "mother")
    text = (
        f"At the first session {n} rated the alliance with their therapist, and the therapists "
        "the alliance with each of them: one with many, seen from both sides. Of the variance of "
        f"mothers’ ratings {_share(found.loc['client|share'])} lay between therapists "
        f"({format_percent(share['client'])} was built in), of that of therapists’ ratings "
        f"{_share(found.loc['therapist|share'])} ({format_percent(share['therapist'])} was built "
        "in; @fig-systemic-one-with-many). Whether therapists whom mothers rate higher rate "
        f"mothers higher is the generalized reciprocity, {said['generalized reciprocity']}; "
        "whether, among the families of one therapist, a mother who rates higher is rated higher "
        f"is the dyadic reciprocity, {said['dyadic reciprocity']}."
    )
    figure = one_with_many_figure(model, intervals=intervals, label="fig-systemic-one-with-many")
    shares = {
        **with_limits("therapists_share_client", found.loc["client|share"]),
        **with_limits("therapists_share_therapist", found.loc["therapist|share"]),
        **with_limits("generalized_reciprocity", found.loc["generalized reciprocity"]),
        **with_limits("dyadic_reciprocity", found.loc["dyadic reciprocity"]),
    }
    numbers = numbers_from(intervals, shares, seed=SEED)
    for kind, test in tests.items():
        numbers |= numbers_from(test, {f"{kind.replace(' ', '_')}_p": test.p_value})
    title = "Therapist and mothers"
    parts = (called_simulated(figure, model, intervals, seed=SEED),)
    return Section("sec-systemic-each-other", title, text, parts), numbers


def _share(row: pd.Series) -> str:
    low, high = format_percent(row["conf_low"]), format_percent(row["conf_high"])
    return f"{format_percent(row['estimate'])}, 95% CI [{low}, {high}],"


def _correlation(row: pd.Series) -> str:
    low, high = format_bounded(row["conf_low"]), format_bounded(row["conf_high"])
    return f"{format_bounded(row['estimate'])}, 95% CI [{low}, {high}]"
