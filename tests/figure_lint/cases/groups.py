"""Groups beside one another, and the themes of interviews."""

import numpy as np
import pandas as pd

from alliance_stats.figures import (
    ReportFigure,
    estimation_figure,
    raincloud_figure,
    stage_figure,
    theme_figure,
    transition_figure,
)
from alliance_stats.groups import (
    StageTransitions,
    ThemeComparison,
    ThemeTransitions,
    compare_groups,
    compare_themes,
    stage_transitions,
    theme_transitions,
)
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, WAI, scores

FOUR = ("a", LONG, "usual", OTHER_SCRIPTS[0])
INTERVIEWS = pd.DataFrame(  # early, rupture, strength, group
    [(1, 1, 0, "broken")] * 3
    + [(1, 0, 0, "broken"), (0, 0, 0, "broken")]
    + [(1, 0, 1, "lasting")] * 4
    + [(0, 0, 0, "lasting")] * 2,
    columns=["early", "rupture", "strength", "group"],
)


def estimation(data: pd.DataFrame, *, paired: str | None = None) -> ReportFigure:
    compared = compare_groups(data, outcomes="alliance", group="group", paired=paired)
    return estimation_figure(compared, outcome="alliance", outcome_label=WAI)


def raincloud(groups: tuple[str, ...], n: int = 30, *, times: float = 1.0) -> ReportFigure:
    data = rescaled(scores(groups, n), times)
    compared = compare_groups(data, outcomes="alliance", group="group")
    return raincloud_figure(compared, outcome="alliance", outcome_label=WAI)


def rescaled(data: pd.DataFrame, times: float) -> pd.DataFrame:
    return data.assign(alliance=data["alliance"] * times)


def nearly_equal(groups: tuple[str, ...]) -> pd.DataFrame:
    """Return scores that are equal but for one of each group."""
    data = scores(groups).assign(alliance=4.0)
    data.loc[data["pair"] == 0, "alliance"] = 4.5
    return data


def voiced(
    names: tuple[str, ...], groups: tuple[str, ...] = ("lasting", "broken")
) -> ThemeComparison:
    """Return themes by group, invented: from none to all of the seven of a group voiced one."""
    data = pd.DataFrame({"group": np.repeat(np.asarray(groups, dtype=object), 7)})
    cells = max(len(names) * len(groups) - 1, 1)
    for place, name in enumerate(names):
        counts = [(place * len(groups) + g) * 7 // cells for g in range(len(groups))]
        data[name] = np.concatenate([np.arange(7) < count for count in counts]).astype(int)
    return compare_themes(data, themes=[*names], group="group")


def themes(names: tuple[str, ...], groups: tuple[str, ...] = ("lasting", "broken")) -> ReportFigure:
    return theme_figure(voiced(names, groups))


def turned(
    cases: pd.DataFrame = INTERVIEWS, *, states: tuple[str, str] = ("rupture", "strength")
) -> ThemeTransitions:
    later = dict(zip(states, ("rupture", "strength"), strict=True))
    return theme_transitions(cases, early="early", later=later, group="group")


def transitions(
    cases: pd.DataFrame = INTERVIEWS,
    *,
    name: str = "early problem",
    states: tuple[str, str] = ("rupture", "strength"),
) -> ReportFigure:
    return transition_figure(turned(cases, states=states), early_label=name)


def staged(
    stages: tuple[str, ...], states: tuple[str, ...], groups: tuple[str, ...] = ()
) -> StageTransitions:
    """Return invented courses of 60 cases over some stages."""
    draw = np.random.default_rng(6)
    frame = pd.DataFrame({stage: draw.choice(np.array(states, object), 60) for stage in stages})
    if groups:
        frame["arm"] = draw.choice(np.array(groups, object), 60)
    return stage_transitions(frame, stages=list(stages), group="arm" if groups else None)


THREE = ("first", "middle", "last")

CASES = {
    stage_figure: {
        "stages": lambda: stage_figure(staged(THREE, ("improved", "same", "worse"))),
        "stages, two groups": lambda: stage_figure(staged(THREE, ("a", "b"), ("new", "usual"))),
        "stages, seven": lambda: stage_figure(
            staged(tuple(f"session {k}" for k in range(1, 8)), tuple("abcde"))
        ),
        "stages, long names": lambda: stage_figure(
            staged((LONG, *OTHER_SCRIPTS), (LONG * 2, OTHER_SCRIPTS[2]), (LONG,))
        ),
        "stages, eastern names": lambda: stage_figure(staged(EASTERN[:3], EASTERN[:3])),
    },
    estimation_figure: {
        "estimation": lambda: estimation(scores(("successful", "unsuccessful"))),
        "estimation, pairs": lambda: estimation(scores(("first", "last"), 13), paired="pair"),
        "estimation, four groups": lambda: estimation(scores(FOUR)),
        "estimation, eastern names": lambda: estimation(scores(EASTERN)),
        "estimation, n = 1": lambda: estimation(scores(("a", "b"), 5).iloc[4:]),
        "estimation, large": lambda: estimation(scores(("a", "b"), 800)),
        "estimation, nearly equal": lambda: estimation(nearly_equal(("a", "b"))),
        "estimation, huge": lambda: estimation(rescaled(scores(("a", "b")), 1e7)),
        "estimation, tiny": lambda: estimation(rescaled(scores(("a", "b")), 1e-5)),
    },
    raincloud_figure: {
        "raincloud": lambda: raincloud(("successful", "unsuccessful")),
        "raincloud, four groups": lambda: raincloud(FOUR),
        "raincloud, eastern names": lambda: raincloud(EASTERN),
        "raincloud, few": lambda: raincloud(("a", "b"), 3),
        "raincloud, large": lambda: raincloud(("a", "b"), 800),
        "raincloud, huge": lambda: raincloud(("a", "b"), times=1e7),
        "raincloud, tiny": lambda: raincloud(("a", "b"), times=1e-5),
    },
    theme_figure: {
        "themes": lambda: themes(("felt heard", "was told what to do", "asked for more")),
        "themes, one": lambda: themes(("felt heard",)),
        "themes, long and other names": lambda: themes((LONG, *OTHER_SCRIPTS), FOUR),
        "themes, eastern names": lambda: themes(EASTERN, EASTERN[:2]),
    },
    transition_figure: {
        "transitions": transitions,
        "transitions, long and other names": lambda: transitions(
            name=LONG, states=(LONG, OTHER_SCRIPTS[2])
        ),
        "transitions, eastern names": lambda: transitions(
            INTERVIEWS.replace({"lasting": EASTERN[0]}), name=EASTERN[1], states=EASTERN[2:]
        ),
        "transitions, two cases": lambda: transitions(INTERVIEWS.iloc[[0, -1]]),
        "transitions, four groups": lambda: transitions(
            pd.concat([INTERVIEWS.assign(group=f"group {i}") for i in range(4)])
        ),
        "transitions, hundreds": lambda: transitions(pd.concat([INTERVIEWS] * 40)),
    },
}
