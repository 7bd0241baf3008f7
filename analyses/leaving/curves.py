"""Who leaves, and when: curves of families from the session in which they were first seen."""

from alliance_stats.figures.incidence import cumulative_incidence_figure
from alliance_stats.figures.survival_curves import kaplan_meier_figure
from alliance_stats.formatting import (
    format_count,
    format_number,
    format_percent,
    p_phrase,
    plural,
)
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.survival import cumulative_incidence, endings, kaplan_meier, log_rank
from analyses.chapter import Numbers, Section
from analyses.leaving.wording import CLOCK
from analyses.simulated import called_simulated

__all__ = ["who_leaves"]

SEED = 2024


def who_leaves(study: Study) -> tuple[Section, Numbers]:
    """Follow families to their endings; who was first seen late is at risk from then on."""
    found = endings(study)
    words = {"trauma-informed": "Trauma-informed therapist", "usual": "Usual framework"}
    units = found.units.assign(framework=found.units["framework"].map(words))
    curves = kaplan_meier(
        units, time="time", event="event", entry="entry", strata="framework", cluster="therapist"
    )
    # a framework is the therapist's: families of one therapist are not independent
    test = log_rank(
        units, time="time", event="event", entry="entry", group="framework",
        cluster="therapist", seed=SEED,
    )  # fmt: skip
    incidence = cumulative_incidence(
        units, time="time", event="ending", entry="entry", cluster="therapist"
    )
    end = incidence.tidy().query("state == 'dropout'").iloc[-1]
    text = (
        f"Dropout is defined so: {found.definition}. The family is the unit that leaves: "
        f"{format_count(units['event'].sum())} of "
        f"{plural(len(units), 'family', 'families')}. Who attended T sessions and left has left in "
        "the interval after session T. @fig-dropout-curves answers how many would still come if no "
        "one ended otherwise, by the therapist’s framework (log-rank test, whole therapists "
        f"permuted: chi-squared({test.df}) = {format_number(test.statistic)}, "
        f"{p_phrase(test.p_value)}). @fig-dropout-incidence answers how many do end so: by session "
        f"{format_count(end['time'])}, {format_percent(end['estimate'])} had dropped out, 95% CI "
        f"{format_percent(end['conf_low'])} to {format_percent(end['conf_high'])}."
    )
    parts = (
        called_simulated(kaplan_meier_figure(curves, time_label=CLOCK, label="fig-dropout-curves")),
        called_simulated(
            cumulative_incidence_figure(incidence, time_label=CLOCK, label="fig-dropout-incidence")
        ),
    )
    counted = {"families": len(units), "dropouts": int(units["event"].sum())}
    numbers = {
        **numbers_from(found, counted),
        **numbers_from(incidence, {"incidence_at_end": end["estimate"]}),
        **numbers_from(test, {"log_rank_p": test.p_value}, seed=SEED),
    }
    return Section("sec-dropout-curves", "Who leaves, and when", text, parts), numbers
