"""Ruptures: ratings that fall below a person's own course, and whether they come back."""

import numpy as np

from alliance_stats.family import (
    DropBelowRunningMean,
    Repair,
    Ruptures,
    expected_false_alarms,
    family_ruptures,
    ruptures,
)
from alliance_stats.figures.rupture_chart import rupture_chart_figure
from alliance_stats.formatting import format_count, format_number, format_percent, p_phrase, plural
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from analyses.chapter import Numbers, Section
from analyses.simulated import ALLIANCE, called_simulated
from analyses.systemic.splits import RELIABILITY

__all__ = ["rupture_and_repair", "ruptures_of"]

RULE = DropBelowRunningMean(k=2.0, sd="within", min_before=2)
SEED = 1
REPAIR = Repair(share=0.75, within=3)


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


def rupture_and_repair(found: Ruptures) -> tuple[Section, Numbers]:
    """Show how often ratings fell below a person's own course, and whether they came back."""
    shares = found.tidy().set_index("term")
    error = float(np.asarray(RELIABILITY.sd)) * np.sqrt(1 - float(np.asarray(RELIABILITY.value)))
    alarms = expected_false_alarms(found, error=error)
    shared = family_ruptures(found, seed=SEED)
    together = shared.glance().iloc[0]
    sessions, repaired = shares.loc["sessions"], shares.loc["repaired"]
    text = (
        f"A rupture is a rating {RULE.words}: {format_count(sessions['n'])} of "
        f"{format_count(sessions['of'])} ratings that could be judged "
        f"({format_percent(sessions['estimate'], 1)}). A constant alliance, measured with an error "
        f"of {format_number(error)} points, would have given "
        f"{format_number(alarms.expected, 1)}. Of the {format_count(repaired['of'])} episodes that "
        f"could be followed for {plural(REPAIR.within, 'session')}, "
        f"{format_percent(repaired['estimate'])} were repaired ({REPAIR.words}); "
        "@fig-systemic-rupture shows one person. Several members of a family ruptured at the same "
        f"session {plural(int(together['n_together']), 'time')}, where shuffled sessions give "
        f"{format_number(together['expected'], 1)} ({p_phrase(together['p_value'])}): in the "
        "simulation members rupture independently."
    )
    most = found.episodes.groupby("person")["depth"].agg(["size", "max"])
    person = most.sort_values(["size", "max"], ascending=False, kind="stable").index[0]
    figure = rupture_chart_figure(
        found, person=person, score_label=ALLIANCE, label="fig-systemic-rupture"
    )
    numbers = {
        **numbers_from(
            found,
            {"rupture_share": sessions["estimate"], "repaired_share": repaired["estimate"]},
        ),
        **numbers_from(alarms, {"false_alarms_share": alarms.expected / alarms.of}),
        **numbers_from(
            shared,
            {"together": together["n_together"], "together_expected": together["expected"]},
            seed=SEED,
        ),
    }
    title = "Rupture and repair"
    return Section("sec-systemic-ruptures", title, text, (called_simulated(figure),)), numbers
