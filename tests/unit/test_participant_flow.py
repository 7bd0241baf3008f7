"""Participants are counted at each stage and arm, the counts add up, and the figure says them."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

from alliance_stats import Study, participant_flow
from alliance_stats.errors import DataError
from alliance_stats.figures import participant_flow_figure

FRAME = pd.DataFrame(
    # therapist, family, person, ending, arm, rating
    [
        ("A", "f1", "m1", "dropout", "x", 4.0),
        ("A", "f1", "m1", "dropout", "x", 5.0),
        ("A", "f1", "m2", "dropout", "x", np.nan),
        ("A", "f2", "m3", "planned", "y", 3.0),
        ("B", "f3", "m4", "transferred", "x", np.nan),
        ("B", "f3", "m5", "transferred", "x", np.nan),
        ("B", "f4", "m6", "ongoing", "y", 6.0),
        ("B", "f4", "m7", "ongoing", "y", 6.5),
        ("C", "f5", "m8", None, None, 2.0),
    ],
    columns=["therapist", "family", "person", "ending", "arm", "wai"],
).assign(session=lambda d: d.groupby("person").cumcount() + 1)


def study(frame: pd.DataFrame = FRAME, **names: str) -> Study:
    roles = {"family": "family", "therapist": "therapist", "ending": "ending"} | names
    return Study.from_frame(frame, person="person", session="session", alliance="wai", **roles)


def counts(flow, stage, group="", term=""):
    table = flow.tidy()
    row = table[(table["stage"] == stage) & (table["group"] == group) & (table["term"] == term)]
    return tuple(row[["n_families", "n_persons", "n_therapists"]].iloc[0])


def test_each_stage_is_counted_by_hand():
    flow = participant_flow(study(), group="arm", screened=9, excluded={"no consent": 4})
    assert counts(flow, "entered") == (5, 8, 3)
    assert counts(flow, "in group", "x") == (2, 4, 2)
    assert counts(flow, "in group", "y") == (2, 3, 2)
    assert counts(flow, "group not known") == (1, 1, 1)
    assert counts(flow, "left", "x", "dropout") == (1, 2, 1)
    assert counts(flow, "left", "x", "transferred") == (1, 2, 1)
    assert counts(flow, "stayed", "y", "planned") == (1, 1, 1)
    assert counts(flow, "stayed", "y", "ongoing") == (1, 2, 1)
    assert counts(flow, "analysed", "x") == (1, 1, 1)
    assert counts(flow, "not analysed", "x", "no rating of wai") == (1, 3, 1)
    assert counts(flow, "analysed", "y") == (2, 3, 2)
    assert counts(flow, "screened")[0] == 9
    assert counts(flow, "excluded", term="no consent")[0] == 4
    assert flow.notes == ("Some therapists are in more than one arm, and counted in each.",)


@pytest.mark.parametrize("group", [None, "arm"])
@pytest.mark.parametrize("level", ["n_families", "n_persons"])
def test_counts_add_up(group, level):
    rng = np.random.default_rng(5)
    n = 300
    frame = pd.DataFrame({"person": np.arange(n), "family": np.arange(n) // 3})
    of = pd.DataFrame({"family": np.arange(100), "arm": rng.choice(["a", "b", "c", None], 100)})
    of["ending"] = rng.choice(["dropout", "planned", "transferred", "ongoing", None], 100)
    frame = frame.merge(of, on="family").assign(session=1, therapist=0)
    frame["wai"] = rng.choice([np.nan, 4.0], n)
    table = participant_flow(study(frame), group=group).tidy()
    sums = table.groupby(["stage", "group"])[level].sum()
    arms = ["a", "b", "c"] if group else [""]
    whole = "in group" if group else "entered"
    for arm in arms:
        ended = sums["left", arm] + sums["stayed", arm] + sums["ending not known", arm]
        assert ended == sums[whole, arm]
        assert sums["analysed", arm] + sums["not analysed", arm] == sums[whole, arm]
    if group:
        known = sum(sums["in group", arm] for arm in arms)
        assert known + sums["group not known", ""] == sums["entered", ""]


def test_persons_may_be_what_flows():
    frame = FRAME.drop(columns="family")
    flow = participant_flow(study(frame, family=None), group="arm")
    assert flow.unit == "person"
    assert flow.tidy()["n_families"].isna().all()
    assert flow.tidy().query("stage == 'in group'")["n_persons"].tolist() == [4, 3]
    report = participant_flow_figure(flow)
    assert "x: 4 persons, 2 therapists" in report.alt


def test_a_study_without_endings_or_scores_has_a_flow():
    bare = Study.from_frame(FRAME[["person", "session"]], person="person", session="session")
    flow = participant_flow(bare)
    assert flow.tidy()["stage"].tolist() == ["entered"]
    assert "8 persons entered" in participant_flow_figure(flow).caption


def test_an_arm_that_varies_within_a_family_is_refused():
    frame = FRAME.assign(arm=["x", "x", "y", *FRAME["arm"][3:]])
    with pytest.raises(DataError, match="'arm' varies within 'family' 'f1'"):
        participant_flow(study(frame), group="arm")


@pytest.mark.parametrize("arms", [[1, "1"], ["a", "a "], ["", "b"]])
def test_arms_that_cannot_be_told_apart_are_refused(arms):
    frame = FRAME.assign(arm=FRAME["family"].map(lambda name: arms[int(name[1]) % 2]))
    with pytest.raises(DataError, match="arm"):
        participant_flow(study(frame), group="arm")


def test_numbers_and_categories_name_arms_in_their_order():
    arms = pd.Categorical(FRAME["arm"], categories=["y", "x", "z"])
    assert participant_flow(study(FRAME.assign(arm=arms)), group="arm").groups == ("y", "x")
    numbered = FRAME.assign(arm=FRAME["arm"].map({"x": 10.0, "y": 2.0}))
    assert participant_flow(study(numbered), group="arm").groups == ("2", "10")
    with pytest.raises(DataError, match="missing in every row"):
        participant_flow(study(FRAME.assign(arm=None)), group="arm")


def test_screened_and_excluded_must_make_those_who_entered():
    with pytest.raises(DataError, match="less 3 excluded, make 7; the study has 5"):
        participant_flow(study(), screened=10, excluded={"no consent": 3})


def test_the_figure_says_the_counts_and_its_boxes_stay_apart():
    flow = participant_flow(study(), group="arm", excluded={"no consent": 4})
    for width in (89.0, 127.0, 183.0):
        report = participant_flow_figure(flow, width=width, words={"dropout": "left early"})
        (ax,) = report.figure.axes
        words = {text.get_text() for text in ax.texts}
        assert {"Screened: 9 families", "x: 2 families", "left early: 1 (2 persons)"} <= words
        boxes = [p.get_bbox() for p in ax.patches if isinstance(p, Rectangle)]
        for i, one in enumerate(boxes):
            for other in boxes[i + 1 :]:
                wide = min(one.x1, other.x1) - max(one.x0, other.x0)
                high = min(one.y1, other.y1) - max(one.y0, other.y0)
                assert wide <= 0 or high <= 0
    pd.testing.assert_frame_equal(report.data, flow.tidy())
    assert re.search("Left: x, left early: 1 family, 2 persons, 1 therapist", report.alt)


def test_more_arms_than_a_page_holds_are_refused():
    frame = FRAME.assign(arm=FRAME["person"], family=FRAME["person"])
    with pytest.raises(DataError, match="8 arms make a figure of"):
        participant_flow_figure(participant_flow(study(frame), group="arm"), width=89.0)


def test_arms_with_long_numbers_stay_apart():
    frame = FRAME.assign(arm=FRAME["arm"].map({"x": 1000001.0, "y": 1000002.0}))
    flow = participant_flow(study(frame), group="arm")
    assert flow.groups == ("1000001", "1000002")
    assert counts(flow, "in group", "1000001") == counts(
        participant_flow(study(), group="arm"), "in group", "x"
    )


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"excluded": {"moved": -2, "no consent": 2}}, "got -2"),
        ({"excluded": {"moved": 1.5}}, "got 1.5"),
        ({"excluded": ["moved"]}, "says how many for each reason"),
        ({"excluded": {"": 2}}, "says how many for each reason"),
        ({"screened": "5"}, "screened= counts units"),
        ({"screened": True}, "screened= counts units"),
    ],
)
def test_counts_of_the_screened_are_whole_numbers(numbers, said):
    with pytest.raises(DataError, match=said):
        participant_flow(study(), **numbers)


def test_therapists_of_two_arms_are_told_although_others_have_no_known_arm():
    frame = pd.DataFrame(
        {
            "family": ["f1", "f2", "f3", "f4"],
            "person": ["p1", "p2", "p3", "p4"],
            "therapist": ["t1", "t1", "t2", "t3"],
            "session": 1,
            "arm": ["x", "y", None, None],
        }
    )
    roles = {name: name for name in ("family", "person", "therapist", "session")}
    flow = participant_flow(Study.from_frame(frame, **roles), group="arm")
    assert flow.tidy().query("stage == 'in group'")["n_therapists"].sum() == 2
    assert flow.notes == ("Some therapists are in more than one arm, and counted in each.",)


def test_who_has_no_known_ending_or_arm_is_in_no_other_box():
    frame = FRAME.assign(arm=FRAME["arm"].where(FRAME["family"] != "f4"))
    frame.loc[frame["family"] == "f3", "ending"] = None
    flow = participant_flow(study(frame), group="arm")
    assert counts(flow, "ending not known", "x") == (1, 2, 1)
    assert counts(flow, "stayed", "y", "planned") == (1, 1, 1)
    assert "not known" not in set(flow.tidy()["term"])
    report = participant_flow_figure(flow)
    said = [text.get_text() for text in report.figure.axes[0].texts]
    assert {"Ending not known: 1 family", "Ending not known: 0 families"} <= set(said)
    assert "5 families entered, 3 of them in 2 arms, of whom 2 were analysed" in report.caption
