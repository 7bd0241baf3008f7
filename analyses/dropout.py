"""Who leaves, after which session, what predicts it, and what the leaving does to a finding.

On the example study, which is simulated, and on the trial of Beat the Blues, which is real.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from alliance_stats.formatting import format_interval, format_number
from alliance_stats.output import write_whole
from alliance_stats.study import Study
from analyses import beat_the_blues
from analyses.chapter import Chapter
from analyses.leaving.curves import who_leaves
from analyses.leaving.finding import does_the_finding_hold
from analyses.leaving.hazards import FORMULA, hazard_of, periods, what_predicts
from analyses.leaving.therapists import CATERPILLAR, what_lies_with_therapists
from analyses.leaving.trial import in_the_trial
from analyses.simulated import SOURCE

NAME = "dropout"


class Data(NamedTuple):
    """The two data sets."""

    study: Study
    trial: pd.DataFrame


def load() -> Data:
    """Return the simulated example study and the Beat the Blues trial."""
    from alliance_stats.datasets import example_study

    return Data(example_study(), beat_the_blues.load())


def main(data: Data, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    table = periods(data.study)
    full = hazard_of(table, FORMULA)
    parts = (
        who_leaves(data.study),
        what_predicts(table, full),
        what_lies_with_therapists(data.study, table, full),
        does_the_finding_hold(data.study),
        in_the_trial(data.trial),
    )
    numbers = {name: value for _, own in parts for name, value in own.items()}
    chapter = Chapter(
        name=NAME,
        title="Who leaves, and what that does to a finding",
        data="simulated",
        source=(
            f"{SOURCE} The last section alone is real: the trial of Beat the Blues (Proudfoot et "
            "al. 2003, Psychological Medicine 33, 217–227; data of the R package HSAUR), which "
            "holds no alliance ratings."
        ),
        sections=tuple(section for section, _ in parts),
        numbers=numbers,
        headline=(
            "hazard ratio of dropout per point of alliance so far: "
            f"{format_number(numbers['ratio_level'])}, 95% CI "
            + format_interval(numbers["ratio_level_low"], numbers["ratio_level_high"])
            + " (simulated)"
        ),
    )
    chapter.save(out)
    if CATERPILLAR not in {part.label for part in chapter.parts}:
        # the document includes it: with therapists all alike there is none
        write_whole(out / f"_{CATERPILLAR}.qmd", "")
    return chapter
