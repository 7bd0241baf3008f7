"""Cases are counted from state to state over the stages, and the ribbons are as wide as that."""

import pandas as pd
import pytest
from scipy import stats

from alliance_stats import stage_transitions
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.figures import stage_figure

FRAME = pd.DataFrame(
    {
        "start": ["low", "low", "low", "high", "high", None],
        "middle": ["low", "high", "high", "high", "low", "low"],
        "end": ["low", "high", "low", "high", "high", "low"],
        "arm": ["x", "x", "y", "y", "x", "x"],
    }
)
STAGES = ["start", "middle", "end"]


def test_every_step_is_counted_by_hand():
    found = stage_transitions(FRAME, stages=STAGES, states=["low", "high"])
    table = found.tidy(conf_level=0.9).set_index(["stage", "early", "later"])
    assert table.loc[("start", "low", "high"), "count"] == 2
    assert table.loc[("start", "low", "low"), "n"] == 3
    assert table.loc[("middle", "high", "low"), ["count", "n"]].tolist() == [1, 3]
    assert table.loc[("middle", "high", "low"), "next_stage"] == "end"
    assert table["count"].sum() == 10
    row = table.loc[("start", "low", "high")]
    assert row["conf_low"] == pytest.approx(stats.beta.ppf(0.05, 2, 2))
    assert row["conf_high"] == pytest.approx(stats.beta.ppf(0.95, 3, 1))
    assert found.counts("", "end").to_dict() == {"low": 2, "high": 3}
    assert found.rows.n_set_aside == 1


def test_groups_are_counted_apart_and_add_up():
    whole = stage_transitions(FRAME, stages=STAGES).tidy()
    apart = stage_transitions(FRAME, stages=STAGES, group="arm").tidy()
    keys = ["stage", "early", "later"]
    assert apart.groupby(keys)["count"].sum().to_dict() == whole.set_index(keys)["count"].to_dict()


def test_ribbons_are_as_many_as_there_are_steps():
    report = stage_figure(stage_transitions(FRAME, stages=STAGES, group="arm"))
    for ax, group in zip(report.figure.axes, "xy", strict=True):
        ribbons = [patch for patch in ax.patches if patch.get_gid() == "ribbon"]
        own = report.data[report.data["group"] == group]
        assert len(ribbons) == (own["count"] > 0).sum()
        states = [patch for patch in ax.patches if patch.get_gid() == "state"]
        per_case = states[0].get_height() / report.data.query("group == @group")["n"].iloc[0]
        assert per_case > 0
    assert "x, start: high 1, low 2; middle: high 1, low 2" in report.alt


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"stages": ["start"]}, "two columns or more"),
        ({"stages": ["start", "start"]}, "each once"),
        ({"stages": ["start", "ends"]}, "Did you mean 'end'"),
        ({"stages": STAGES, "states": ["low"]}, r"also hold \['high'\]"),
    ],
)
def test_what_is_no_course_is_refused(asked, said):
    with pytest.raises(DataError, match=said):
        stage_transitions(FRAME, **asked)
    with pytest.raises(NotIdentifiedError, match="No case has its state"):
        stage_transitions(FRAME.assign(end=None), stages=STAGES)


def test_long_numbers_stay_apart_and_stand_by_their_size():
    long = pd.DataFrame(
        {
            "start": [1000001.0, 1000002.0, 999.0, None],
            "end": [1000001.0, 1000001.0, 1000002.0, 999.0],
            "site": [1000001.0, 1000002.0, 1000002.0, 1000002.0],
        }
    )
    found = stage_transitions(long, stages=["start", "end"], group="site")
    assert found.states == ("999", "1000001", "1000002")
    assert found.labels == ("1000001", "1000002")
    moved = found.tidy().query("count > 0")
    assert list(zip(moved["early"], moved["later"], moved["n"], strict=True)) == [
        ("1000001", "1000001", 1),
        ("999", "1000002", 1),
        ("1000002", "1000001", 1),
    ]


def test_the_figure_says_why_cases_were_set_aside():
    frame = FRAME.assign(arm=["x", None, "y", "y", "x", "x"])
    report = stage_figure(stage_transitions(frame, stages=STAGES, group="arm"))
    assert "1 case set aside: the state at some stage is missing." in report.note
    assert "1 case set aside: 'arm' is missing." in report.note
