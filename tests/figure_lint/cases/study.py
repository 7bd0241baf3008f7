"""Who took part."""

import numpy as np
import pandas as pd

from alliance_stats import Study, example_study, participant_flow
from alliance_stats.figures import flow_figure, participant_flow_figure, study_overview_figure
from alliance_stats.study.description import StudyDescription
from alliance_stats.study.participant_flow import ParticipantFlow
from tests.figure_lint.cases.data import EASTERN, LONG, OTHER_SCRIPTS, ledger


def described(roles: list[str], scores: list[str], last: int) -> StudyDescription:
    """Describe a study in which ratings become fewer with each session."""
    draw = np.random.default_rng(1)
    sessions = np.arange(1, last + 1)
    frame = pd.DataFrame(
        [(f"{role} {k}", role, s) for role in roles for k in range(6) for s in sessions],
        columns=["who", "place", "when"],
    )
    left = draw.integers(1, last + 1, len(frame))
    for score in scores:
        frame[score] = np.where(frame["when"] <= left, draw.integers(1, 8, len(frame)), np.nan)
    return Study.from_frame(
        frame, person="who", role="place", session="when", scores=dict.fromkeys(scores)
    ).describe()


def one_role() -> StudyDescription:
    frame = pd.DataFrame({"who": [1, 1, 2], "s": [0, 1, 0], "wai": [3.0, 4.0, 5.0]})
    return Study.from_frame(frame, person="who", session="s", alliance="wai").describe()


def flowing(arms: tuple[str, ...], *, n: int = 240) -> ParticipantFlow:
    """Return the flow of invented families, by arm if there are any."""
    draw = np.random.default_rng(3)
    family = np.arange(n)
    frame = pd.DataFrame({"family": family, "person": family, "session": 1})
    frame["arm"] = draw.choice(np.array(arms or ("",), dtype=object), n)
    frame["ending"] = draw.choice(["dropout", "planned", "transferred", "ongoing"], n)
    frame["wai"] = draw.choice([np.nan, 4.0], n)
    study = Study.from_frame(
        frame.assign(therapist=family // 9), person="person", family="family",
        therapist="therapist", session="session", alliance="wai", ending="ending",
    )  # fmt: skip
    return participant_flow(
        study, group="arm" if arms else None, excluded={"no consent": 12, LONG: 3}
    )


CASES = {
    participant_flow_figure: {
        "participants": lambda: participant_flow_figure(flowing(("new", "usual"))),
        "participants, no arms": lambda: participant_flow_figure(flowing(())),
        "participants, four arms": lambda: participant_flow_figure(
            flowing(tuple("abcd")), width=183.0
        ),
        "participants, long names": lambda: participant_flow_figure(
            flowing((LONG, OTHER_SCRIPTS[2]))
        ),
        "participants, eastern names": lambda: participant_flow_figure(flowing(EASTERN[:2])),
    },
    flow_figure: {
        "flow": lambda: flow_figure(ledger("no rating", "after the planned ending")),
        "flow, nothing set aside": lambda: flow_figure(ledger()),
        "flow, long reasons": lambda: flow_figure(ledger(LONG * 3, *OTHER_SCRIPTS, "x" * 120)),
        "flow, eastern reasons": lambda: flow_figure(ledger(*EASTERN, EASTERN[3] * 5)),
    },
    study_overview_figure: {
        "overview": lambda: study_overview_figure(
            example_study().describe(), words={"alliance": "Alliance", "outcome": "Symptoms"}
        ),
        "overview, one role, two sessions": lambda: study_overview_figure(one_role()),
        "overview, many sessions": lambda: study_overview_figure(
            described(["mother", "father"], ["task", "goal", "bond"], 93)
        ),
        "overview, long names": lambda: study_overview_figure(
            described([LONG, *OTHER_SCRIPTS], [LONG * 2, "x" * 80, "$a_1$"], 15)
        ),
        "overview, eastern names": lambda: study_overview_figure(
            described(list(EASTERN), [EASTERN[0]], 8)
        ),
    },
}
