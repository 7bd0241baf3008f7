"""Family indices and splits by hand, and what they refuse."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.family import (
    Reliability,
    RoleDifference,
    family_indices,
    rule_agreement,
    split_alliance,
)
from alliance_stats.family.measurement_error import chance_of_range, order_errors

NAMES = {"family": "family", "person": "person", "session": "session", "score": "alliance"}
ERROR = 0.3  # standard error of measurement of SCALE: 1 * sqrt(1 - .91)
SCALE = Reliability(0.91, sd=1.0, seed=3)
# 200,000 simulated families leave proportions good to 3 * sqrt(.25 / 200,000)
BRUTE_FORCE = 0.0035
# an SD from 20,000 draws has a relative error of 1 / sqrt(40,000); three of them
SIMULATED_SD = 0.015


def four_rows(**changes) -> pd.DataFrame:
    data = {
        "family": ["F1"] * 4,
        "person": ["F1-mother", "F1-father", "F1-child", "F1-partner"],
        "role": ["mother", "father", "child", "partner"],
        "session": [1] * 4,
        "alliance": [5.0, 4.0, 2.0, 5.0],
    }
    return pd.DataFrame({**data, **changes})


def sessions() -> pd.DataFrame:
    """Return two families over sessions, with comings and goings, and one of a single member."""
    rows = [
        ("F1", "a", "mother", 1, 5.1),
        ("F1", "b", "child", 1, 4.1),
        ("F1", "a", "mother", 2, 5.0),
        ("F1", "b", "child", 2, np.nan),
        ("F1", "a", "mother", 3, 6.0),
        ("F1", "b", "child", 3, 3.0),
        ("F2", "c", "mother", 1, 4.0),
        ("F2", "d", "child", 1, 4.5),
        ("F2", "c", "mother", 2, 4.0),
        ("F2", "d", "child", 2, 4.2),
        ("F3", "e", "mother", 1, 3.0),
    ]
    return pd.DataFrame(rows, columns=["family", "person", "role", "session", "alliance"])


def test_indices_of_four_rows_by_hand():
    row = family_indices(four_rows(), **NAMES).table.iloc[0]
    assert row["level"] == 4.0
    assert row["weakest"] == 2.0
    assert row["strongest"] == 5.0
    assert row["range"] == 3.0
    assert row["sd"] == pytest.approx(math.sqrt((1 + 0 + 4 + 1) / 3))
    assert row["pair"] == "F1-child / F1-partner"
    assert row["members"] == "F1-child, F1-father, F1-mother, F1-partner"
    assert row["n_members"] == 4


def test_differences_of_roles_signed_absolute_and_over_several():
    found = family_indices(
        four_rows(),
        role="role",
        differences=[
            RoleDifference("child", "mother"),
            RoleDifference(("mother", "father"), "child"),
        ],
        **NAMES,
    )
    row = found.table.iloc[0]
    assert row["difference_child_mother"] == -3.0
    assert row["abs_difference_child_mother"] == 3.0
    assert row["difference_mother_and_father_child"] == 2.5
    assert found.rules["difference_mother_and_father_child"] == (
        "mean of mother and father present less child"
    )


def test_linear_errors_are_closed_forms():
    found = family_indices(
        four_rows(),
        role="role",
        differences=[
            RoleDifference("mother", "child"),
            RoleDifference(("mother", "father"), "child"),
        ],
        reliability=Reliability(
            {"mother": 0.9, "father": 0.8, "child": 0.7, "partner": 0.6}, 2.0, 1
        ),
        **NAMES,
    )
    row = found.table.iloc[0]
    assert row["difference_mother_child_se"] == pytest.approx(2 * math.sqrt(2 - 0.9 - 0.7))
    assert row["level_se"] == pytest.approx(2 * math.sqrt(0.1 + 0.2 + 0.3 + 0.4) / 4)
    assert row["difference_mother_and_father_child_se"] == pytest.approx(
        2 * math.sqrt((0.1 + 0.2) / 4 + 0.3)
    )
    tidy = found.tidy(conf_level=0.9).set_index("term")
    half = stats.norm.isf(0.05) * row["level_se"]
    assert tidy.loc["level", "conf_low"] == pytest.approx(4.0 - half)
    assert np.isnan(tidy.loc["range", "conf_low"])
    assert tidy.loc["range", "std_error"] == row["range_se"]


def test_simulated_errors_of_two_members_match_clark_and_the_folded_normal():
    scores, errors = np.array([[4.0, 4.4]]), np.array([[0.3, 0.5]])
    found = order_errors(scores, errors, seed=1, draws=20_000)
    # Clark (1961), doi:10.1287/opre.9.2.145: moments of the larger of two normals
    theta = math.hypot(0.3, 0.5)
    a = 0.4 / theta
    first = 4.4 * stats.norm.cdf(a) + 4.0 * stats.norm.cdf(-a) + theta * stats.norm.pdf(a)
    second = (
        (4.4**2 + 0.25) * stats.norm.cdf(a)
        + (4.0**2 + 0.09) * stats.norm.cdf(-a)
        + 8.4 * theta * stats.norm.pdf(a)
    )
    assert found["strongest"][0] == pytest.approx(math.sqrt(second - first**2), rel=SIMULATED_SD)
    folded = stats.foldnorm(c=0.4 / theta, scale=theta).std()
    assert found["range"][0] == pytest.approx(folded, rel=SIMULATED_SD)
    assert found["sd"][0] == pytest.approx(folded / math.sqrt(2), rel=SIMULATED_SD)


def test_errors_do_not_depend_on_other_families():
    alone = family_indices(sessions().head(2), reliability=SCALE, **NAMES).table.iloc[0]
    among = family_indices(sessions(), reliability=SCALE, **NAMES).table.iloc[0]
    pd.testing.assert_series_equal(alone, among)


def test_single_members_and_absences_are_kept_counted_and_undefined():
    found = family_indices(sessions(), **NAMES)
    table = found.table.set_index(["family", "session"])
    assert np.isnan(table.loc[("F3", 1), "level"])
    assert np.isnan(table.loc[("F1", 2), "range"])
    assert table.loc[("F1", 2), "n_absent"] == 1
    assert list(table["changed"]) == [False, True, True, False, False, False]
    glance = found.glance().iloc[0]
    assert (glance["n_undefined"], glance["n_families_undefined"], glance["n_single_member"]) == (
        2,
        1,
        1,
    )
    assert found.rows.n_set_aside == 1
    assert found.summary().startswith("In 2 family sessions other members were present")


def test_one_member_is_enough_where_asked_but_has_no_spread():
    row = family_indices(sessions(), min_members=1, **NAMES).table.iloc[-1]
    assert row["level"] == 3.0
    assert np.isnan(row["range"])
    assert np.isnan(row["sd"])


def test_a_family_without_any_rating_stays():
    found = family_indices(four_rows(alliance=[np.nan] * 4), **NAMES)
    assert found.table["n_members"].tolist() == [0]
    assert found.table["members"].tolist() == [""]


def test_raters_make_indices_of_their_own():
    data = pd.concat(
        [four_rows(rater="self"), four_rows(rater="observer", alliance=[3.0, 3, 3, 7])]
    )
    data = data.reset_index(drop=True)
    found = family_indices(data, rater="rater", raters=("self", "observer"), **NAMES)
    levels = found.table.set_index("rater")["level"]
    assert (levels["self"], levels["observer"]) == (4.0, 4.0)
    own = family_indices(data, rater="rater", raters=("self",), **NAMES)
    assert own.rows.steps[1].rows_set_aside == 4
    with pytest.raises(DataError, match=r"mixes ratings by 'observer', 'self'.*raters=\('self',\)"):
        family_indices(data, rater="rater", **NAMES)
    with pytest.raises(DataError, match=r"No rating is by 'observers'. Did you mean 'observer'"):
        family_indices(data, rater="rater", raters=("observers",), **NAMES)
    with pytest.raises(DataError, match=r"write raters=\('self',\)"):
        family_indices(data, rater="rater", raters="self", **NAMES)


def test_a_members_own_id_is_a_self_rating_and_strangers_are_refused():
    data = four_rows(rater=["F1-mother", "F1-father", "F1-child", "F1-partner"])
    assert family_indices(data, rater="rater", **NAMES).table["rater"].tolist() == ["self"]
    mixed = data.assign(rater=["F1-mother", "F1-mother", "F1-child", "F1-partner"])
    with pytest.raises(DataError, match="mixes ratings by 'member', 'self'"):
        family_indices(mixed, rater="rater", **NAMES)
    two = pd.concat([data, data.replace("F1", "F2", regex=True)], ignore_index=True)
    two.loc[0, "rater"] = "F2-child"
    with pytest.raises(DataError, match=r"'F2-child' rates in 'family' 'F1'.*'F2' \(row 0\)"):
        family_indices(two, rater="rater", **NAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"person": ["x"] * 4}, "'x' has several ratings by 'self' at session 1"),
        ({"family": ["F1", "F1", "F1", None]}, "'family' is missing in row 3"),
        ({"session": [1, 1, 1.5, 1]}, "'session' is not a whole number in row 2"),
        ({"alliance": [1.0, 2, np.inf, 3]}, "'alliance' is infinite in row 2"),
    ],
)
def test_bad_tables_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        family_indices(four_rows(**changes), **NAMES)


def test_a_person_in_two_families_is_refused():
    data = four_rows(family=["F1", "F2", "F1", "F1"], person=["a", "a", "b", "c"])
    with pytest.raises(DataError, match=r"'a' .* in more than one 'family'"):
        family_indices(data, **NAMES)


def test_bad_differences_are_refused():
    with pytest.raises(DataError, match=r"No member has the role 'mothre'. Did you mean 'mother'"):
        family_indices(
            four_rows(), role="role", differences=[RoleDifference("mothre", "child")], **NAMES
        )
    with pytest.raises(DataError, match="name the column of roles"):
        family_indices(four_rows(), differences=[RoleDifference("mother", "child")], **NAMES)
    with pytest.raises(DataError, match="'child' is on both sides"):
        RoleDifference(("mother", "child"), "child")
    siblings = four_rows(role=["mother", "father", "child", "child"])
    with pytest.raises(DataError, match=r"several members in the role 'child'.*several='mean'"):
        family_indices(
            siblings, role="role", differences=[RoleDifference("mother", "child")], **NAMES
        )
    mean = RoleDifference("mother", "child", several="mean")
    found = family_indices(siblings, role="role", differences=[mean], **NAMES)
    assert found.table["difference_mother_child"].tolist() == [1.5]


def test_bad_reliabilities_are_refused():
    with pytest.raises(DataError, match=r"strictly between 0 and 1; got 1.0"):
        Reliability(1.0, sd=1, seed=1)
    with pytest.raises(DataError, match="SD of a scale must be a positive number; got 0"):
        Reliability(0.9, sd=0, seed=1)
    by_role = Reliability({"mother": 0.9, "child": 0.9, "partner": 0.9}, sd=1, seed=1)
    with pytest.raises(DataError, match="names no role 'father'"):
        family_indices(four_rows(), role="role", reliability=by_role, **NAMES)


def test_min_members_below_one_is_refused():
    with pytest.raises(DataError, match="at least 1; got 0"):
        family_indices(four_rows(), min_members=0, **NAMES)


def test_split_by_hand_at_exactly_the_threshold():
    found = split_alliance(family_indices(sessions(), **NAMES), threshold=1, sd="norm", norm_sd=1.0)
    # 5.1 - 4.1 is a split of 1; 4.0 and 4.5 are none; one member cannot be judged
    np.testing.assert_array_equal(found.table["split"], [1, np.nan, 1, 0, 0, np.nan])
    np.testing.assert_array_equal(found.table["split_so_far"], [1, 1, 1, 0, 0, np.nan])
    assert found.known_at_session
    tidy = found.tidy().set_index("term")
    assert (tidy.loc["split", "n"], tidy.loc["split", "of"]) == (2, 4)


def test_standard_deviations_that_splits_are_held_against():
    indices = family_indices(sessions(), **NAMES)
    sample = split_alliance(indices, threshold=2, sd="sample").table["limit"]
    first = np.std([5.1, 4.1, 4.0, 4.5, 3.0], ddof=1)
    second = np.std([5.1, 4.1, 4.0, 4.5, 3.0, 5.0, 4.0, 4.2], ddof=1)
    assert sample[0] == pytest.approx(2 * first)
    assert sample[4] == pytest.approx(2 * second)
    within = split_alliance(indices, threshold=1, sd="within").table["limit"]
    assert within[0] == pytest.approx(math.sqrt((0.5 + 0.125) / 2))
    assert within[4] == pytest.approx(math.sqrt((0.5 + 0.125 + 0.02) / 3))
    whole = split_alliance(indices, threshold=1, sd="sample", reference="course")
    assert set(whole.table["limit"]) == {whole.table["limit"][0]}
    assert not whole.known_at_session
    assert whole.summary().startswith("These flags use sessions after their own")


def test_splits_by_a_difference_of_roles():
    indices = family_indices(
        sessions(), role="role", differences=[RoleDifference("mother", "child")], **NAMES
    )
    found = split_alliance(
        indices, threshold=1, sd="norm", norm_sd=0.5, on="abs_difference_mother_child"
    )
    np.testing.assert_array_equal(found.table["split"], [1, np.nan, 1, 1, 0, np.nan])
    with pytest.raises(DataError, match="No distance 'abs_difference_mother_son'"):
        split_alliance(indices, threshold=1, sd="sample", on="abs_difference_mother_son")


def test_bad_split_rules_are_refused():
    indices = family_indices(sessions(), **NAMES)
    with pytest.raises(TypeError, match="threshold"):
        split_alliance(indices, sd="sample")
    with pytest.raises(DataError, match="threshold counts SDs and is above 0; got 0"):
        split_alliance(indices, threshold=0, sd="sample")
    with pytest.raises(DataError, match="norm_sd= goes with sd='norm'"):
        split_alliance(indices, threshold=1, sd="norm")
    with pytest.raises(DataError, match="norm_sd must be a positive number; got -1"):
        split_alliance(indices, threshold=1, sd="norm", norm_sd=-1)
    with pytest.raises(ValueError, match="sd must be one of"):
        split_alliance(indices, threshold=1, sd="between")
    flat = family_indices(sessions().assign(alliance=4.0), **NAMES)
    with pytest.raises(NotIdentifiedError, match="no SD 'within'"):
        split_alliance(flat, threshold=1, sd="within")


@pytest.mark.parametrize("errors", [[0.3, 0.3], [0.2, 0.5], [0.3] * 4, [0.2, 0.3, 0.6]])
@pytest.mark.parametrize("width", [0.3, 0.9, 1.4])
def test_chance_of_a_split_against_brute_force(errors, width):
    found = chance_of_range(np.array([width]), np.array([errors]))[0]
    drawn = np.random.default_rng(8).standard_normal((200_000, len(errors))) * errors
    assert found == pytest.approx((np.ptp(drawn, axis=1) >= width).mean(), abs=BRUTE_FORCE)
    if len(set(errors)) == 1:
        exact = stats.studentized_range.sf(width / 0.3, len(errors), np.inf)
        assert found == pytest.approx(exact, abs=1e-8)  # scipy's own quadrature stops there


def test_expected_splits_are_shown_beside_the_observed():
    indices = family_indices(sessions(), reliability=SCALE, **NAMES)
    found = split_alliance(indices, threshold=1, sd="norm", norm_sd=1.0).tidy().set_index("term")
    expected = 2 * stats.norm.sf(1 / (ERROR * math.sqrt(2)))
    assert found.loc["expected from measurement error", "estimate"] == pytest.approx(expected)
    assert found.loc["expected / observed", "estimate"] == pytest.approx(expected / 0.5)


def test_agreement_of_rules_by_hand():
    indices = family_indices(sessions(), **NAMES)
    first = split_alliance(indices, threshold=1, sd="norm", norm_sd=1.0)  # 1 1 0 0
    second = split_alliance(indices, threshold=0.4, sd="norm", norm_sd=1.0)  # 1 1 1 0
    row = rule_agreement(first, second, seed=1).tidy().iloc[0]
    assert (row["n_first"], row["n_second"], row["n_both"], row["of"]) == (2, 3, 2, 4)
    assert row["agreement"] == 0.75
    assert row["estimate"] == pytest.approx((0.75 - 0.5) / 0.5)
    found = rule_agreement(first, second, seed=1, n_resamples=50)
    assert "kappa" in found.summary()
    assert ".50" in found.summary()
    assert found.glance()["n_resamples"].tolist() == [50]
    assert found.rows is first.rows


def test_agreement_refuses_one_rule_and_other_sessions():
    indices = family_indices(sessions(), **NAMES)
    first = split_alliance(indices, threshold=1, sd="sample")
    other = split_alliance(
        family_indices(sessions().query("family != 'F3'"), **NAMES), threshold=1, sd="sample"
    )
    with pytest.raises(DataError, match="needs two rules or more; got 1"):
        rule_agreement(first, seed=1)
    with pytest.raises(DataError, match=r"not applied to the same sessions \(6 and 5\)"):
        rule_agreement(first, other, seed=1)
