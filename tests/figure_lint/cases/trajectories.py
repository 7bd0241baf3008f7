"""Trajectories, series of one person, and families over sessions."""

import numpy as np
import pandas as pd

from alliance_stats.family import (
    ControlChart,
    Reliability,
    Repair,
    Ruptures,
    SplitAlliance,
    VShape,
    family_indices,
    ruptures,
    split_alliance,
)
from alliance_stats.figures import (
    ReportFigure,
    family_strips_figure,
    group_trajectory_figure,
    rupture_chart_figure,
    split_map_figure,
    trajectory_figure,
)
from alliance_stats.groups import TrajectoryComparison, compare_trajectories
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, WAI, ratings

NAMES = {"family": "family", "person": "person", "session": "session", "score": "alliance"}


def trajectories(
    data: pd.DataFrame, *, role: str | None = "role", score_label: str = WAI
) -> ReportFigure:
    return trajectory_figure(
        data,
        session="session",
        score="alliance",
        person="person",
        role=role,
        score_label=score_label,
    )


def compared(
    labels: tuple[str, str] = ("lasting", "broken"), *, times: float = 1.0
) -> TrajectoryComparison:
    """Compare two groups of fifteen persons over six sessions, scores multiplied by `times`."""
    rng = np.random.default_rng(8)
    person = np.repeat(np.arange(30), 6)
    time = np.tile(np.arange(1, 7), 30)
    first = person % 2 == 0
    y = 4 + 0.3 * first * time + rng.normal(size=30)[person] * 0.5 + rng.normal(size=180) * 0.5
    data = pd.DataFrame({"person": person, "session": time, "alliance": times * y})
    data["group"] = pd.Categorical(np.where(first, *labels), list(labels))
    return compare_trajectories(
        data.iloc[1:],
        outcome="alliance",
        time="session",
        group="group",
        person="person",
        random_slope=False,
    )


def groups(comparison: TrajectoryComparison) -> ReportFigure:
    return group_trajectory_figure(comparison, outcome_label="Alliance (WAI points)")


def members(n_families: int = 12, roles: tuple[str, ...] = ("child", "mother")) -> pd.DataFrame:
    """Return invented ratings of families, a row per member x session."""
    rng = np.random.default_rng(8)
    rows = [
        (f"F{f:02d}", f"F{f:02d}-{role}", role, session)
        for f in range(n_families)
        for role in roles
        for session in range(1, int(rng.integers(2, 14)) + 1)
    ]
    data = pd.DataFrame(rows, columns=["family", "person", "role", "session"])
    score = 4.5 + rng.normal(0, 0.8, len(data))
    return data.assign(alliance=np.where(rng.random(len(data)) < 0.1, np.nan, score.clip(1, 7)))


def strips(data: pd.DataFrame, families: list[str]) -> ReportFigure:
    return family_strips_figure(data, role="role", families=families, score_label=WAI, **NAMES)


def split(data: pd.DataFrame) -> SplitAlliance:
    indices = family_indices(
        data, reliability=Reliability(0.9, sd=1, seed=1, n_resamples=20), **NAMES
    )
    return split_alliance(indices, threshold=1, sd="norm", norm_sd=1.0)


def chart(
    rule: ControlChart | VShape | None = None, data: pd.DataFrame | None = None
) -> tuple[Ruptures, ReportFigure]:
    """Return the ruptures of invented ratings, and the chart of the first person."""
    table = members() if data is None else data
    found = ruptures(
        table,
        person="person",
        session="session",
        score="alliance",
        rule=rule or ControlChart(autocorrelation=0.0, min_before=2, multiplier=1.0),
        repair=Repair(share=0.5, within=2),
    )
    return found, rupture_chart_figure(found, person=table["person"].iloc[0], score_label=WAI)


def rescaled(data: pd.DataFrame, times: float) -> pd.DataFrame:
    return data.assign(alliance=data["alliance"] * times)


def in_chinese(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(
        family=data["family"].str.replace("F", "家庭"), person="张伟" + data["person"]
    )


CASES = {
    trajectory_figure: {
        "trajectories": lambda: trajectories(ratings()),
        "trajectories, one panel": lambda: trajectories(ratings(), role=None),
        "trajectories, 200 therapists": lambda: trajectories(ratings(("child",), therapists=200)),
        "trajectories, long and other names": lambda: trajectories(
            ratings((LONG, *OTHER_SCRIPTS, "child", "x"), sessions=40)
        ),
        "trajectories, twelve roles": lambda: trajectories(
            ratings(tuple(f"role {i}" for i in range(1, 13)), therapists=2)
        ),
        "trajectories, 200 sessions": lambda: trajectories(
            ratings(("child", "mother"), therapists=3, sessions=200)
        ),
        "trajectories, eastern names": lambda: trajectories(
            ratings(EASTERN), score_label=EASTERN[3]
        ),
        "trajectories, n = 1": lambda: trajectories(ratings().dropna().head(1)),
        "trajectories, one session": lambda: trajectories(ratings().query("session == 1")),
        "trajectories, all scores equal": lambda: trajectories(ratings().assign(alliance=4.0)),
        "trajectories, huge scores": lambda: trajectories(rescaled(ratings(), 1e7)),
        "trajectories, tiny scores": lambda: trajectories(rescaled(ratings(), 1e-7)),
    },
    group_trajectory_figure: {
        "trajectories of groups": lambda: groups(compared()),
        "trajectories of groups, long names": lambda: groups(compared((LONG, OTHER_SCRIPTS[1]))),
        "trajectories of groups, eastern names": lambda: groups(compared((EASTERN[3], EASTERN[1]))),
        "trajectories of groups, huge scores": lambda: groups(compared(times=1e7)),
        "trajectories of groups, tiny scores": lambda: groups(compared(times=1e-5)),
    },
    family_strips_figure: {
        "strips": lambda: strips(members(), [f"F{f:02d}" for f in range(12)]),
        "strips, one family": lambda: strips(members(), ["F03"]),
        "strips, many roles with long names": lambda: strips(
            members(4, ("a", LONG, "c", "d", "e", "отец")), ["F00", "F01"]
        ),
        "strips, eastern names": lambda: strips(
            in_chinese(members(4, EASTERN[:3])), ["家庭00", "家庭01"]
        ),
        "strips, one rating": lambda: strips(members().dropna().head(1), ["F00"]),
    },
    split_map_figure: {
        "split map": lambda: split_map_figure(split(members())),
        "split map of hundreds": lambda: split_map_figure(split(members(300))),
        "split map of one family": lambda: split_map_figure(split(members(1))),
        "split map, eastern names": lambda: split_map_figure(split(in_chinese(members(5)))),
    },
    rupture_chart_figure: {
        "rupture chart": lambda: chart()[1],
        "rupture chart without limit": lambda: chart(VShape(drop=0.5, back=0.5, within=2, sd=1.0))[
            1
        ],
        "rupture chart of one rating": lambda: chart(data=members().dropna().head(1))[1],
        "rupture chart, eastern name": lambda: chart(data=in_chinese(members()))[1],
    },
}
