"""The alliance as a family system: balance, splits, ruptures, and what families leave after.

On the example study, which is simulated.
"""

from pathlib import Path

from alliance_stats.datasets import example_study
from alliance_stats.formatting import format_percent
from alliance_stats.study import Study
from analyses.chapter import Chapter
from analyses.simulated import SOURCE
from analyses.systemic.balance import balance
from analyses.systemic.dyads import each_other, two_members
from analyses.systemic.indirect_path import indirect_path
from analyses.systemic.leaving import hazard, leaving, periods_of
from analyses.systemic.rupture_repair import rupture_and_repair, ruptures_of
from analyses.systemic.splits import split_families, split_of

NAME = "systemic_alliance"


def load() -> Study:
    """Return the simulated example study."""
    return example_study()


def main(data: Study, out: Path) -> Chapter:
    """Analyse `data`, write everything into `out` and return what the page shows."""
    splits, found = split_of(data), ruptures_of(data)
    periods = periods_of(data, splits, found)
    dropout = hazard(periods)
    parts = (
        balance(data),
        split_families(data, splits),
        rupture_and_repair(found),
        leaving(data, periods, dropout),
        indirect_path(periods, dropout),
        two_members(data),
        each_other(data),
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
            f"{format_percent(numbers['split_by_error_share'])} by measurement error alone; "
            f"{format_percent(numbers['repaired_share'])} of ruptures repaired (simulated)"
        ),
    )
    chapter.save(out)
    return chapter
