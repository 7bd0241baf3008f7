import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

from alliance_stats.account import as_sentences
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.survival import cumulative_incidence, kaplan_meier, log_rank

FOUR = pd.DataFrame(
    {
        "time": [1, 2, 2, 4],
        "left": [1, 1, 0, 1],
        "framework": ["usual", "trauma-informed", "usual", "trauma-informed"],
        "therapist": ["T1", "T1", "T2", "T2"],
    },
    index=[10, 11, 12, 13],
)
COLUMNS = {"time": "time", "event": "left"}


def test_four_rows_by_hand() -> None:
    tidy = kaplan_meier(FOUR, **COLUMNS).tidy()
    assert list(tidy.columns) == [
        "strata",
        "time",
        "n_risk",
        "n_event",
        "n_censor",
        "estimate",
        "std_error",
        "conf_low",
        "conf_high",
    ]
    assert_array_equal(tidy["n_risk"], [4, 3, 1])
    assert_array_equal(tidy["n_event"], [1, 1, 1])
    assert_array_equal(tidy["n_censor"], [0, 1, 0])
    assert_allclose(tidy["estimate"], [3 / 4, 1 / 2, 0])
    # Greenwood: S^2 (1/(4*3)), S^2 (1/12 + 1/6); undefined once S is 0
    assert_allclose(tidy["std_error"], [np.sqrt(9 / 16 / 12), np.sqrt(1 / 4 * 3 / 12), np.nan])
    assert set(tidy["strata"]) == {"all"}


def test_risk_table_equals_the_life_table_and_starts_with_everyone() -> None:
    result = kaplan_meier(FOUR, **COLUMNS)
    assert_array_equal(result.at_risk([0, 1, 2, 4, 5])["n_risk"], [4, 4, 3, 1, 0])
    assert_array_equal(result.at_risk(result.tidy()["time"])["n_risk"], result.tidy()["n_risk"])


def test_who_enters_at_t_is_not_at_risk_at_t() -> None:
    late = pd.DataFrame({"from": [0, 0, 2], "time": [2, 4, 4], "left": [1, 0, 1]})
    result = kaplan_meier(late, time="time", event="left", entry="from")
    assert_array_equal(result.tidy()["n_risk"], [2, 2])
    assert_allclose(result.tidy()["estimate"], [1 / 2, 1 / 4])
    assert_array_equal(result.at_risk([0, 2, 3])["n_risk"], [2, 2, 2])


def test_times_that_differ_by_floating_dust_tie() -> None:
    dusty = pd.DataFrame({"time": [0.1 + 0.2, 0.3, 0.5], "left": [1, 1, 0]})
    assert_array_equal(kaplan_meier(dusty, **COLUMNS).tidy()["n_event"], [2, 0])


def test_large_whole_times_do_not_tie() -> None:
    data = pd.DataFrame({"time": [1.0, 2.0, 4.0, 5.0], "left": [1, 0, 1, 0]})
    late = data.assign(time=data["time"] + 1.7e9)  # seconds since 1970
    near, far = (kaplan_meier(d, time="time", event="left").tidy() for d in (data, late))
    assert_allclose(far["estimate"], near["estimate"], rtol=1e-15)
    assert len(far) == 4


def test_missing_values_are_set_aside_and_counted() -> None:
    holed = FOUR.assign(time=[1, 2, np.nan, 4])
    result = kaplan_meier(holed, **COLUMNS, strata="framework")
    assert result.rows.n_used == 3
    assert "'time' is missing" in str(result.rows)
    assert_frame_equal(holed, FOUR.assign(time=[1, 2, np.nan, 4]))


def test_summary_and_glance() -> None:
    result = kaplan_meier(FOUR, **COLUMNS, cluster="therapist")
    assert result.glance().to_dict("records") == [
        {"nobs": 4, "n_event": 3, "n_strata": 1, "n_clusters": 2}
    ]
    assert as_sentences(result.account()) == (
        "Standard errors over 2 clusters: below about 40 they tend to be too small. "
        "Kaplan-Meier estimate, standard errors over 2 clusters; n = 4 rows, 3 events. "
        "all: 4 rows, 3 events, median = 3, 95% CI [1, not reached], without the event at the end "
        "= 0.0%, last time = 4. Intervals are pointwise, by the log-log transformation. "
        "Censored rows, however they ended, are treated as if they could still have the event."
    )
    assert result.summary().splitlines()[-1] == (
        "4 rows came in (therapist: 2). 4 used (therapist: 2)."
    )


def test_curve_that_falls_to_zero_before_others_enter_is_reported() -> None:
    early = pd.DataFrame({"from": [0, 3, 3], "time": [1, 5, 6], "left": [1, 1, 0]})
    result = kaplan_meier(early, time="time", event="left", entry="from")
    assert result.summary().startswith("The curve of 'all' falls to 0 at time 1")


def test_no_events_is_a_flat_curve() -> None:
    tidy = kaplan_meier(FOUR.assign(left=0), **COLUMNS).tidy(conf_type="plain")
    assert_array_equal(tidy["estimate"], 1.0)
    assert_array_equal(tidy["conf_low"], 1.0)
    assert np.isnan(kaplan_meier(FOUR.assign(left=0), **COLUMNS).medians()["estimate"][0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time": [-1, 2, 2, 4]}, r"'time' is negative in row 10\."),
        ({"time": [0, 2, 2, 4]}, r"'time' is 0 in row 10: nobody is at risk for no time"),
        ({"time": [np.inf, 2, 2, 4]}, r"'time' is infinite in row 10"),
        ({"time": ["1", "2", "2", "4"]}, r"'time' must be numeric"),
        ({"left": [1, 2, 0, 1]}, r"'left' must be 0 .* or 1 .*; it holds 2 in row 11\."),
        ({"left": ["dropout"] * 4}, r"'left' must be 0 .* it holds 'dropout' in rows 10, 11"),
        ({"time": [np.nan] * 4}, r"No row has all of 'time', 'left'"),
    ],
)
def test_impossible_data_are_refused(changed: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        kaplan_meier(FOUR.assign(**changed), **COLUMNS)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ([-1, 0, 0, 0], r"'entry' is negative in row 10"),
        ([1, 0, 0, 0], r"'time' does not come after 'entry' in row 10"),
        ([3, 0, 0, 0], r"'time' does not come after 'entry' in row 10"),
    ],
)
def test_impossible_entries_are_refused(entry: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        kaplan_meier(FOUR.assign(entry=entry), **COLUMNS, entry="entry")


def test_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match=r"no column 'lefft'\. Did you mean 'left'"):
        kaplan_meier(FOUR, time="time", event="lefft")
    with pytest.raises(DataError, match="holds one cluster"):
        kaplan_meier(FOUR.assign(therapist="T1"), **COLUMNS, cluster="therapist")
    with pytest.raises(DataError, match="holds one cluster in stratum 'T1'"):
        kaplan_meier(FOUR, **COLUMNS, cluster="therapist", strata="therapist")


def test_wrong_questions_are_refused() -> None:
    result = kaplan_meier(FOUR, **COLUMNS)
    with pytest.raises(ValueError, match="conf_type must be one of"):
        result.tidy(conf_type="loglog")
    with pytest.raises(ValueError, match="probability must lie between 0 and 1"):
        result.quantiles(1.0)


def test_log_rank_by_hand() -> None:
    test = log_rank(FOUR, **COLUMNS, group="framework")
    # trauma-informed: O = 2 of E = 2/4 + 2/3 + 1; at time 4 nobody of the other group is left
    assert_allclose(test.expected, [13 / 6, 5 / 6])
    assert_allclose(test.statistic, (1 / 6) ** 2 / (1 / 4 + 2 / 9))
    assert test.tidy()["n_event"].tolist() == [2, 1]
    assert test.glance().loc[0, "df"] == 1
    assert as_sentences(test.account()) == (
        "Log-rank test; n = 4 rows, 3 events. "
        "trauma-informed: 2 rows, 2 events, expected = 2.17. "
        "usual: 2 rows, 1 event, expected = 0.83. Test: chi-squared(1) = 0.06, p = .808."
    )


def test_whole_clusters_are_permuted_exactly() -> None:
    # Six therapists, three a group; all early endings in one group: 1 of C(6, 3) = 20 allocations,
    # and its mirror image.
    data = pd.DataFrame(
        {
            "therapist": np.repeat(list("abcdef"), 2),
            "framework": np.repeat(["usual", "informed"], 6),
            "time": [1, 2, 2, 3, 1, 3, 8, 9, 9, 10, 8, 10],
            "left": 1,
        }
    )
    test = log_rank(data, **COLUMNS, group="framework", cluster="therapist")
    assert test.permutation is not None
    assert test.permutation.exact
    assert_allclose(test.p_value, 2 / 20)
    assert test.glance().loc[0, "p_smallest"] == 1 / 20
    again = log_rank(
        data, **COLUMNS, group="framework", cluster="therapist", n_resamples=19, seed=1
    )
    assert again.permutation is not None
    assert not again.permutation.exact
    assert again.p_value >= 1 / 19


def test_few_clusters_are_warned_of() -> None:
    test = log_rank(
        FOUR.assign(framework=list("aabb")), **COLUMNS, group="framework", cluster="therapist"
    )
    assert test.summary().startswith("2 clusters allow 2 allocations: no p-value below")


def test_log_rank_refuses() -> None:
    with pytest.raises(DataError, match=r"holds one group \('usual'\)"):
        log_rank(FOUR.assign(framework="usual"), **COLUMNS, group="framework")
    with pytest.raises(DataError, match="varies within 2 clusters of 'therapist'"):
        log_rank(FOUR, **COLUMNS, group="framework", cluster="therapist")
    with pytest.raises(ValueError, match="cannot go together"):
        log_rank(FOUR, **COLUMNS, group="framework", cluster="therapist", strata="left")
    with pytest.raises(ValueError, match="rho and gamma must be 0 or above"):
        log_rank(FOUR, **COLUMNS, group="framework", rho=-1)
    with pytest.raises(NotIdentifiedError, match="never at risk together"):
        log_rank(FOUR, **COLUMNS, group="framework", strata="framework")
    with pytest.raises(NotIdentifiedError, match="None of 4 rows has the event"):
        log_rank(FOUR.assign(left=0), **COLUMNS, group="framework")
    apart = pd.concat([FOUR, FOUR.assign(framework=["x", "y", "x", "y"])]).assign(
        site=np.repeat([0, 1], 4)
    )
    with pytest.raises(NotIdentifiedError, match="fall into sets"):
        log_rank(apart, **COLUMNS, group="framework", strata="site")
    many = pd.DataFrame(
        {"time": 1.0 + np.arange(40), "left": 1, "g": np.arange(40) % 2, "c": np.arange(40)}
    )
    with pytest.raises(ValueError, match="give seed="):
        log_rank(many, **COLUMNS, group="g", cluster="c")


def test_events_are_counted_up_to_a_time_behind_the_last_row():
    data = pd.DataFrame({"time": [1, 2, 2, 5], "event": [1, 1, 0, 0], "state": list("dpnn")})
    curve = kaplan_meier(data, time="time", event="event").at([1, 9])
    assert curve["n_event"].tolist() == [1, 1]
    assert np.isnan(curve["estimate"].iloc[1])
    ends = cumulative_incidence(data, time="time", event="state", censored="n").at([1, 9])
    assert ends.groupby("state")["n_event"].apply(list).to_dict() == {"d": [1, 0], "p": [0, 1]}
