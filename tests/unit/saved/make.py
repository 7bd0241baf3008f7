"""Save small results of several kinds: ``python -m tests.unit.saved.make``."""

from pathlib import Path

import alliance_stats as als
from tests.fuzz.frames import frames

HERE = Path(__file__).parent


def main() -> None:
    tables = frames()
    sessions = tables["sessions"].query("session <= 2").reset_index(drop=True)
    due = {"time": "time", "event": "event"}
    results = {
        "lmm": als.lmm("symptoms ~ alliance * role + (1 | person)", sessions),
        "means": als.estimated_means(
            als.lmm("symptoms ~ alliance * role + (1 | person)", sessions), "role"
        ),
        "curves": als.kaplan_meier(tables["units"], **due, strata="group"),
        "log_rank": als.log_rank(tables["units"], **due, group="group"),
        "groups": als.compare_groups(tables["themes"], outcomes=["before", "trust"], group="group"),
        "correlations": als.correlations(tables["forms"], ["before", "after"]),
        "pooled": als.meta_analysis(tables["studies"], r="r", n="n"),
    }
    for name, result in results.items():
        als.save_result(result, HERE / f"{name}.json")


if __name__ == "__main__":
    main()
