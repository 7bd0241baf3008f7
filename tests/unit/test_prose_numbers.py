"""Numbers for prose: each in the way its name asks for, safe in YAML and in Markdown."""

import math

import numpy as np
import pandas as pd
import pytest
import yaml

from alliance_stats.provenance import numbers_from
from analyses.chapter import Chapter
from analyses.variables import in_words, write_variables

NUMBERS = {
    "slope": -0.0289,
    "slope_low": -0.1,
    "slope_high": 0.0,
    "difference": 3.0,
    "split_share": 0.5,
    "split_share_low": 0.461,
    "split_share_high": 0.536,
    "families": np.int64(1240),
    "log_rank_p": 0.0004,
    "unknown": math.nan,
    "other": 1.0,
    "other_low": math.nan,
    "other_high": math.nan,
}


def test_names_say_how_numbers_are_printed() -> None:
    assert in_words(NUMBERS) == {
        "difference": "3.00",
        "families": "1,240",
        "log_rank_p": "p < .001",
        "other": "1.00",
        "other_high": "–",
        "other_low": "–",
        "slope": "−0.029",
        "slope_ci": "95% CI [−0.100, 0.000]",
        "slope_high": "0.000",
        "slope_low": "−0.100",
        "split_share": "50%",
        "split_share_ci": "95% CI [46%, 54%]",
        "split_share_high": "54%",
        "split_share_low": "46%",
        "unknown": "–",
    }


def test_the_file_is_yaml_of_escaped_text(tmp_path) -> None:
    numbers = numbers_from(pd.DataFrame({"slope": [1.0]}), NUMBERS)
    chapter = Chapter("one", "One", "simulated", "A source.", (), numbers, "A headline")
    write_variables(tmp_path / "_variables.yml", [chapter])
    read = yaml.safe_load((tmp_path / "_variables.yml").read_text(encoding="utf-8"))
    assert list(read) == ["one"]
    assert set(read["one"]) == set(in_words(NUMBERS))
    assert read["one"]["families"] == "1,240"
    assert read["one"]["log_rank_p"] == "*p* \\< .001"
    assert read["one"]["slope_ci"] == "95% CI \\[−0.100, 0.000\\]"


@pytest.mark.parametrize("name", ["one_share", "share_of_one"])
def test_a_share_is_printed_in_percent(name: str) -> None:
    assert in_words({name: 0.045})[name] == "4%"


def test_no_limit_prints_as_what_it_is_not():
    found = in_words({"x": 0.5, "x_low": -0.0004, "x_high": 1.0})
    assert found["x_ci"] == "95% CI [−0.0004, 1.0000]"
    found = in_words({"hazard_ratio": 0.6, "hazard_ratio_low": 0.3, "hazard_ratio_high": 0.9986})
    assert found["hazard_ratio_ci"] == "95% CI [0.300, 0.999]"
    found = in_words({"split_share": 0.02, "split_share_low": 0.004, "split_share_high": 0.05})
    assert found["split_share_ci"] == "95% CI [0.4%, 5.0%]"
    assert found["split_share"] == "2.0%"
    assert in_words({"all_share": 1.0, "most_share": 0.998}) == {
        "all_share": "100%", "most_share": "99.8%",
    }  # fmt: skip
