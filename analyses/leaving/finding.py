"""Whether the alliance-outcome finding survives that those who left are missing."""

import pandas as pd

from alliance_stats.figures.tipping_points import tipping_point_figure
from alliance_stats.formatting import format_count, format_interval, format_number, plural
from alliance_stats.multilevel import LinearMixedModel, lmm
from alliance_stats.provenance import numbers_from
from alliance_stats.study import Study
from alliance_stats.survival import dropout_sensitivity
from alliance_stats.transforms import baseline
from analyses.chapter import Numbers, Section
from analyses.leaving.wording import in_words, tips
from analyses.simulated import called_simulated

__all__ = ["LAST", "does_the_finding_hold", "early_alliance"]

SEED = 2024
LAST = 12  # sessions over which the outcome is followed, seen or not


def early_alliance(study: Study) -> tuple[LinearMixedModel, pd.DataFrame]:
    """Model symptoms on the first rating of the alliance, and list the sessions not seen.

    Returns
    -------
    model, unseen
        The fit to sessions 1 to 12, and a row for each of these sessions after a dropout.
    """
    rows = baseline(study.sessions, "alliance", person="person", session="session")
    first = rows.groupby("person")["alliance_baseline"].max() - 5.0
    rows = rows.assign(early=rows["person"].map(first))
    seen = rows[rows["session"] <= LAST]
    model = lmm("symptoms ~ session + early + (1 | therapist/family/person)", seen)
    persons = rows[rows["ending"] == "dropout"].groupby("person", sort=False).tail(1)
    left_at = rows.groupby("family")["session"].max()
    unseen = [
        row.assign(session=session)
        for session in range(2, LAST + 1)
        for row in [persons[persons["family"].map(left_at) < session]]
    ]
    columns = ["therapist", "family", "person", "session", "early"]
    return model, pd.concat(unseen)[columns].dropna().reset_index(drop=True)


def does_the_finding_hold(study: Study) -> tuple[Section, Numbers]:
    """Ask what the unseen outcomes would have to be to overturn the alliance-outcome finding."""
    model, unseen = early_alliance(study)
    found = dropout_sensitivity(
        model, unseen, term="early", deltas=range(-30, 31, 10), seed=SEED, n_imputations=20
    )
    at_zero = found.tidy().query("delta == 0").iloc[0]
    interval = format_interval(found.seen["conf_low"], found.seen["conf_high"])
    text = (
        "Persons whose first rating of the alliance was a point higher had symptoms "
        f"{format_number(abs(found.seen['estimate']))} points "
        f"{'lower' if found.seen['estimate'] < 0 else 'higher'} over the first {LAST} sessions, "
        f"95% CI {interval}, from the "
        f"{format_count(found.completed.n_seen)} scores that were seen. After dropping "
        f"out, {plural(found.completed.n_unseen, 'score')} of these sessions were not. Imputed "
        "under the "
        "same model (therapists, families and persons with their own effects), with the alliance "
        f"of the first rating, which is known of all, the estimate is {in_words(at_zero)}: that is "
        "the assumption that those who left went on as others with their history. "
        f"@fig-dropout-tipping shifts the unseen scores. {tips(found, 'points')}"
    )
    figure = tipping_point_figure(
        found,
        estimate_label="Symptoms per point of first alliance rating",
        shift_label="Shift of symptoms after dropout (points; positive: worse)",
        label="fig-dropout-tipping",
    )
    tipping = {
        f"tipping_{row.direction[:5]}": row.delta for row in found.tipping_points().itertuples()
    }
    numbers = numbers_from(model, {"early_seen": found.seen["estimate"]}) | numbers_from(
        found,
        {
            "early_imputed": at_zero["estimate"],
            "unseen_scores": found.completed.n_unseen,
            **tipping,
        },
        seed=SEED,
    )
    section = Section(
        "sec-dropout-tipping",
        "Does the alliance-outcome finding hold?",
        text,
        (called_simulated(figure, found, seed=SEED),),
    )
    return section, numbers
