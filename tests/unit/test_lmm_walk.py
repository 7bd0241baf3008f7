"""The walk of the rows through a call of lmm: one door, and one look at each label."""

import numpy as np
import pandas as pd

from alliance_stats import lmm, spelling
from alliance_stats.design import design


def test_a_frame_passes_the_door_once_and_each_label_is_spelled_out_once(monkeypatch):
    rng = np.random.default_rng(7)
    person = np.repeat(np.arange(24), 5)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=120) + rng.normal(size=24)[person],
            "therapist": [f"T{p // 6}" for p in person],
            "family": [f"F{p // 2}" for p in person],
            "person": [f"P{p}" for p in person],
        }
    )
    doors, spelled = [], []
    door, spell = design.check_frame, spelling._plain_spellings

    def counted_door(data, **further):
        doors.append(data)
        return door(data, **further)

    def counted_spelling(values):
        spelled.extend(values)
        return spell(values)

    monkeypatch.setattr(design, "check_frame", counted_door)
    monkeypatch.setattr(spelling, "_plain_spellings", counted_spelling)
    lmm("y ~ 1 + (1 | therapist/family/person)", frame)
    assert len(doors) == 1
    assert len(spelled) == len(set(spelled)) == 4 + 12 + 24


def test_a_covariate_drawn_from_a_common_seed_is_no_effect_of_each_unit():
    for seed in (0, 1, 42):
        rng = np.random.default_rng(seed)
        experience = rng.standard_normal(6)
        therapist = np.repeat(np.arange(6), 10)
        frame = pd.DataFrame(
            {"y": rng.normal(size=60), "x": experience[therapist], "therapist": therapist}
        )
        assert lmm("y ~ x + (1 | therapist)", frame).nobs == 60


def test_labels_spelled_in_one_go_are_those_spelled_one_by_one():
    labels = ["  A\t b ", "007", "1.00", "x1.50", "T01", "t1", "3.0", "", " ", "a-b", "0.5", "Ü 1"]
    for values in (labels[:-1], labels, ["a\nb", "A b"]):
        assert spelling._plain_spellings(values) == [spelling._plain_spelling(v) for v in values]


def test_the_frame_that_a_fit_keeps_has_the_columns_as_given():
    frame = pd.DataFrame(
        {"y": np.arange(12.0) % 5, "role": ["a", "b"] * 6, "p": [f"p{i // 3}" for i in range(12)]}
    )
    kept = lmm("y ~ role + (1 | p)", frame).design.frame
    assert kept["role"].dtype == object
    assert kept["p"].tolist() == frame["p"].tolist()


def test_a_summary_says_which_test_holds_with_few_units_of_unequal_size():
    rng = np.random.default_rng(6)
    for sizes, said in (([2, 4, 6, 10, 14, 20], True), ([10] * 6, False)):
        therapist = np.repeat(np.arange(6), sizes)
        frame = pd.DataFrame(
            {
                "y": rng.normal(size=len(therapist)) + rng.normal(size=6)[therapist],
                "experience": rng.normal(size=6)[therapist],
                "session": rng.normal(size=len(therapist)),
                "therapist": therapist,
            }
        )
        text = lmm("y ~ experience + session + (1 | therapist)", frame).summary()
        size = "unequal" if said else "similar"
        assert f"experience: told by 6 units of therapist of {size} size." in text
        assert f"session: told within 6 units of therapist of {size} size." in text
        assert "session: a property" not in text
        alone = lmm("y ~ session + (1 | therapist)", frame)
        assert not any("permutation_test" in note for note in alone.notes)
