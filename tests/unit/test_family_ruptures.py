"""Rupture rules, episodes, false alarms and family patterns by hand and by brute force."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError
from alliance_stats.family import (
    ControlChart,
    DropBelowRunningMean,
    Repair,
    SuddenGain,
    SuddenLoss,
    VShape,
    expected_false_alarms,
    family_ruptures,
    rule_agreement,
    ruptures,
)

NAN = math.nan
NAMES = {"person": "person", "session": "session", "score": "score"}
HALF_POINT = DropBelowRunningMean(k=1, sd=0.5, min_before=1)
# 4,000 persons of 6 sessions: a share near .05 is good to 4 * sqrt(.05 * .95 / 12,000)
BRUTE_FORCE = 0.008


def course(*scores: float, person: str = "p", first: int = 1, **columns) -> pd.DataFrame:
    sessions = range(first, first + len(scores))
    return pd.DataFrame(
        {"person": person, "session": list(sessions), "score": list(scores), **columns}
    )


def flags(data: pd.DataFrame, rule) -> list[float]:
    return ruptures(data, rule=rule, **NAMES).table["rupture"].tolist()


def assert_flags(data: pd.DataFrame, rule, expected: list[float]) -> None:
    np.testing.assert_array_equal(flags(data, rule), expected)


def test_drop_below_the_own_running_mean_by_hand():
    data = course(5.0, 5.5, 4.5, NAN, 3.0)
    found = ruptures(data, rule=DropBelowRunningMean(k=2, sd="own", min_before=2), **NAMES).table
    np.testing.assert_array_equal(found["rupture"], [NAN, NAN, 1, NAN, 1])
    np.testing.assert_allclose(found["level"][2:], [5.25, 5.0, 5.0])
    assert found["limit"][2] == pytest.approx(5.25 - 2 * np.std([5, 5.5], ddof=1))
    assert found["limit"][4] == pytest.approx(4.0)
    np.testing.assert_array_equal(found["ruptures_so_far"], [0, 0, 1, 1, 2])


def test_a_drop_of_exactly_the_limit_counts_and_one_short_of_it_does_not():
    rule = DropBelowRunningMean(k=2, sd=0.5, min_before=1)
    assert_flags(course(5.1, 4.1), rule, [NAN, 1])
    assert_flags(course(5.1, 4.11), rule, [NAN, 0])


def test_shared_standard_deviations_come_from_the_sessions_before():
    a, b = course(5.0, 6.0, 4.0, person="a"), course(4.0, 3.0, 4.0, person="b")
    data = pd.concat([a, b], ignore_index=True)
    within = ruptures(data, rule=DropBelowRunningMean(k=1, sd="within", min_before=2), **NAMES)
    # squares around the own means before session 3: .5 + .5 on 1 + 1 df
    assert within.table["limit"][2] == pytest.approx(5.5 - math.sqrt(0.5))
    between = ruptures(data, rule=DropBelowRunningMean(k=1, sd="between", min_before=1), **NAMES)
    assert between.table["limit"][1] == pytest.approx(5.0 - np.std([5, 4], ddof=1))
    assert between.table["limit"][2] == pytest.approx(5.5 - np.std([5.5, 3.5], ddof=1))


def test_a_flat_history_has_no_own_sd_to_be_held_against():
    assert_flags(
        course(5.0, 5.0, 5.0, 4.9), DropBelowRunningMean(k=2, sd="own", min_before=2), [NAN] * 4
    )


def test_a_v_is_known_at_its_return_and_happened_at_its_low():
    data = course(5.0, 4.0, 4.2, 5.1, 5.0)
    rule = VShape(drop=1, back=1, within=2, sd=1.0)
    found = ruptures(data, rule=rule, **NAMES)
    np.testing.assert_array_equal(found.table["rupture"], [NAN, NAN, 0, 1, 0])
    assert found.table["onset"][3] == 2
    np.testing.assert_array_equal(found.happened, [NAN, 1, 0, 0, NAN])
    assert found.episodes["depth"].tolist() == [1.0]
    assert found.episodes["known_at"].tolist() == [4]
    assert_flags(data, VShape(drop=1, back=1, within=1, sd=1.0), [NAN, NAN, 0, 0, 0])


def test_control_chart_by_hand_with_and_without_autocorrelation():
    data = course(5.0, 5.2, 4.9, 5.1, 4.0)
    plain = ruptures(data, rule=ControlChart(autocorrelation=0, min_before=4), **NAMES).table
    step = (0.2 + 0.3 + 0.2) / 3
    assert plain["limit"][4] == pytest.approx(5.05 - 2.66 * step)
    assert plain["rupture"][4] == 1
    wider = ruptures(data, rule=ControlChart(autocorrelation=0.75, min_before=4), **NAMES).table
    assert wider["limit"][4] == pytest.approx(5.05 - 2.66 * step / 0.5)
    assert wider["rupture"][4] == 0


def test_limits_of_the_chart_lie_three_standard_deviations_below_under_autocorrelation():
    phi, n = 0.6, 20_000
    rng = np.random.default_rng(4)
    steps = np.empty(n)
    steps[0] = 0.0
    noise = rng.standard_normal(n) * math.sqrt(1 - phi**2)
    for t in range(1, n):
        steps[t] = phi * steps[t - 1] + noise[t]
    found = ruptures(
        course(*steps), rule=ControlChart(autocorrelation=phi, min_before=2), **NAMES
    ).table
    # the mean of 20,000 correlated values has an SE of .014, three mean steps one of .02
    assert found["limit"].iloc[-1] == pytest.approx(-3.0, abs=0.07)


SUDDEN = (30.0, 32.0, 31.0, 33.0, 20.0, 19.0, 21.0, 20.0)


def test_a_sudden_gain_worked_by_hand():
    # 33 -> 20: 13 points, 39%; means 32 and 20, pooled SD 1, 12 > 2.776
    found = ruptures(course(*SUDDEN), rule=SuddenGain(cut_off=7, better="lower"), **NAMES)
    np.testing.assert_array_equal(found.table["rupture"], [NAN] * 4 + [0, 0, 1, 0])
    episode = found.episodes.iloc[0]
    assert (episode["onset"], episode["known_at"], episode["level"]) == (5, 7, 33.0)
    assert (episode["extreme"], episode["depth"]) == (20.0, 13.0)


@pytest.mark.parametrize(
    ("scores", "rule", "found"),
    [
        ((30, 32, 31, 33, 27, 26, 25), SuddenGain(7, "lower"), 0),  # 6 points are below 7
        ((30, 32, 31, 33, 26, 25, 24), SuddenGain(7, "lower"), 0),  # 7 of 33 are 21%
        ((30, 32, 31, 33, 26, 25, 24), SuddenGain(7, "lower", share=0.2), 1),
        ((30, 20, 40, 30, 20, 40, 15), SuddenGain(7, "lower"), 0),  # means 30 and 25, SD 11.9
        ((30, NAN, 31, 33, 20, NAN, 21), SuddenGain(7, "lower"), 1),  # 4 values: 11.5 > 4.81
        ((30, NAN, 31, 33, 20, NAN, 31), SuddenGain(7, "lower"), 0),  # 6.5 < 4.303 * 5.59
        ((30, 32, 31, 33, 20, NAN, NAN), SuddenGain(7, "lower"), NAN),
        ((5, 6, 7, 6, 16, 15, 14), SuddenLoss(7, "lower"), 1),
        ((20, 19, 21, 20, 33, 32, 31), SuddenGain(7, "higher"), 1),
        ((30, 32, 31, 33, 20, 19, 21), SuddenLoss(7, "higher"), 1),
    ],
)
def test_each_criterion_of_sudden_changes(scores, rule, found):
    np.testing.assert_array_equal(flags(course(*scores), rule)[6], found)


def test_a_sudden_gain_recognised_after_the_last_session_is_never_a_flag():
    found = ruptures(course(*SUDDEN[:6]), rule=SuddenGain(cut_off=7, better="lower"), **NAMES)
    assert not (found.table["rupture"] == 1).any()
    assert found.episodes["onset"].tolist() == [5]
    assert found.episodes["known_at"].isna().all()
    assert found.glance()["n_known_after_the_last_session"].tolist() == [1]


def test_sudden_gains_against_a_plain_loop():
    rng = np.random.default_rng(2)
    rule, seen = SuddenGain(cut_off=5, better="lower", share=0.1), 0
    for number in range(60):
        x = rng.normal(30, 6, 9) - 10 * (np.arange(9) > rng.integers(2, 7))
        x[rng.random(9) < 0.15] = NAN
        expected = [NAN] * 12
        for n in range(9):
            pre, post = x[max(n - 2, 0) : n + 1], x[n + 1 : n + 4]
            a, b = pre[~np.isnan(pre)], post[~np.isnan(post)]
            if len(a) < 2 or len(b) < 2 or np.isnan(pre[-1]) or np.isnan(post[0]):
                continue
            t = {6: 2.776, 5: 3.182, 4: 4.303}[len(a) + len(b)]
            squares = (len(a) - 1) * a.var(ddof=1) + (len(b) - 1) * b.var(ddof=1)
            lasting = a.mean() - b.mean() > t * math.sqrt(squares / (len(a) + len(b) - 2))
            change = pre[-1] - post[0]
            expected[n + 3] = float(change >= 5 and change >= 0.1 * pre[-1] and lasting)
        data = course(*x, person=str(number))
        if np.isnan(x).all():
            continue
        np.testing.assert_array_equal(flags(data, rule), expected[:9])
        seen += int(np.nansum(expected[:9]))
    assert seen > 5


def test_episodes_end_with_their_repair():
    data = course(5.0, 5.0, 3.0, 3.5, 4.6, 5.0)
    found = ruptures(data, rule=HALF_POINT, repair=Repair(share=0.75, within=3), **NAMES)
    np.testing.assert_array_equal(found.table["rupture"], [NAN, 0, 1, 1, 0, 0])
    episode = found.episodes.iloc[0]
    assert (episode["onset"], episode["end"], episode["length"], episode["n_flagged"]) == (
        3,
        5,
        2,
        2,
    )
    assert (episode["level"], episode["extreme"], episode["depth"]) == (5.0, 3.0, 2.0)
    assert episode["repaired"] is True
    tidy = found.tidy().set_index("term")
    assert tidy.loc["sessions", ["n", "of"]].tolist() == [2, 5]
    assert tidy.loc["repaired", ["n", "of"]].tolist() == [1, 1]


def test_repair_is_unknown_where_the_course_ends_before_it_could_be_said():
    rule, repair = HALF_POINT, Repair(share=1, within=2)
    ended = ruptures(course(5.0, 5.0, 3.0, 3.2), rule=rule, repair=repair, **NAMES).episodes
    assert ended["repaired"].tolist() == [None]
    stayed = ruptures(course(5.0, 5.0, 3.0, 3.2, 3.1), rule=rule, repair=repair, **NAMES).episodes
    assert stayed["repaired"].tolist() == [False]
    assert stayed["length"].tolist() == [3]
    unseen = ruptures(course(5.0, 5.0, 3.0, NAN, NAN, 4.9), rule=rule, repair=repair, **NAMES)
    assert unseen.episodes["repaired"].tolist() == [None]
    without = ruptures(course(5.0, 5.0, 3.0, 3.2, 5.0), rule=rule, **NAMES).episodes
    assert without["repaired"].tolist() == [None]
    assert without["length"].tolist() == [2]


def test_the_share_repaired_is_that_of_episodes_followed_long_enough():
    # c is back at once and then leaves: had c not been back, no one would know whether c was later;
    # counted in, who leaves early could only count as repaired
    data = pd.concat(
        [
            course(5.0, 5.0, 3.0, 4.9, 5.0, person="a"),
            course(5.0, 5.0, 3.0, 3.2, 3.1, person="b"),
            course(5.0, 5.0, 3.0, 4.9, person="c"),
        ]
    )
    found = ruptures(data, rule=HALF_POINT, repair=Repair(share=0.75, within=2), **NAMES)
    assert found.episodes["repaired"].tolist() == [True, False, True]
    assert found.tidy().set_index("term").loc["repaired", ["n", "of"]].tolist() == [1, 2]
    assert (
        "Repaired (75% of the fall regained within 2 sessions): 1 of 2 episodes that could be "
        "followed for 2 sessions." in found.summary()
    )


def test_no_rupture_gives_an_empty_frame_of_episodes():
    found = ruptures(course(5.0, 5.0, 5.0), rule=HALF_POINT, **NAMES)
    assert len(found.episodes) == 0
    assert "repaired" in found.episodes
    assert np.isnan(found.tidy().set_index("term").loc["repaired", "estimate"])
    assert "0 of 2 sessions" in found.summary()


def test_false_alarms_in_closed_form_and_in_a_plain_simulation():
    rng = np.random.default_rng(6)
    scores = 5 + 0.4 * rng.standard_normal((4000, 6))
    scores[:, 2] = np.where(rng.random(4000) < 0.5, NAN, scores[:, 2])
    data = pd.DataFrame(scores, columns=range(1, 7)).melt(
        ignore_index=False, var_name="session", value_name="score"
    )
    data = data.rename_axis("person").reset_index().astype({"session": int})
    for sd, min_before in ((0.5, 1), ("own", 3)):
        rule = DropBelowRunningMean(k=1.5, sd=sd, min_before=min_before)
        found = expected_false_alarms(ruptures(data, rule=rule, **NAMES), error=0.4)
        assert found.method == "closed form"
        assert found.expected / found.of == pytest.approx(
            found.observed / found.of, abs=BRUTE_FORCE
        )
    one = expected_false_alarms(ruptures(course(5.0, 5.0), rule=HALF_POINT, **NAMES), error=0.4)
    assert one.expected == pytest.approx(stats.norm.sf(0.5 / (0.4 * math.sqrt(2))))


def test_false_alarms_of_a_v_are_the_bivariate_normal_chance():
    rule = VShape(drop=1, back=1, within=1, sd=0.5)
    found = ruptures(course(5.0, 5.0, 5.0), rule=rule, **NAMES)
    alarms = expected_false_alarms(found, error=0.4, seed=1, n_resamples=40_000)
    both = stats.multivariate_normal(cov=[[0.32, 0.16], [0.16, 0.32]]).cdf([-0.5, -0.5])
    assert alarms.method == "Monte Carlo"
    assert alarms.expected == pytest.approx(both, abs=4 * alarms.std_error)
    again = expected_false_alarms(found, error=0.4, seed=1, n_resamples=40_000)
    assert again.expected == alarms.expected


def test_false_alarms_of_a_control_chart_against_a_plain_loop():
    rule = ControlChart(autocorrelation=0.0, min_before=3, multiplier=1.5)
    found = ruptures(course(5.0, 5.1, 4.9, 5.2, 5.0), rule=rule, **NAMES)
    alarms = expected_false_alarms(found, error=0.3, seed=1, n_resamples=20_000)
    rng, count = np.random.default_rng(9), 0
    for x in 5 + 0.3 * rng.standard_normal((20_000, 5)):
        for t in (3, 4):
            count += x[t] < x[:t].mean() - 1.5 * np.abs(np.diff(x[:t])).mean()
    assert alarms.expected == pytest.approx(count / 20_000, abs=6 * alarms.std_error)
    assert alarms.tidy()["n"].tolist()[:2] == [0, alarms.expected]
    assert "Monte Carlo" in alarms.summary()


def test_false_alarms_refuse_what_they_cannot_say():
    found = ruptures(course(5.0, 4.0), rule=HALF_POINT, **NAMES)
    with pytest.raises(DataError, match="a positive number; got 0"):
        expected_false_alarms(found, error=0)
    chart = ControlChart(autocorrelation=0, min_before=4)
    with pytest.raises(DataError, match="No session could be judged"):
        expected_false_alarms(ruptures(course(5.0, 4.0), rule=chart, **NAMES), error=1)
    long = ruptures(course(5.0, 4.0, 5.0, 4.5, 5.0), rule=chart, **NAMES)
    with pytest.raises(DataError, match="give seed="):
        expected_false_alarms(long, error=1)


def family_of_three() -> pd.DataFrame:
    return pd.concat(
        [
            course(5.0, 4.0, 5.0, 3.0, person="a", family="F"),
            course(5.0, 5.0, 5.0, 3.0, person="b", family="F"),
            course(5.0, NAN, 5.0, 5.0, person="c", family="F"),
        ],
        ignore_index=True,
    )


def test_who_in_a_family_ruptured():
    found = family_ruptures(
        ruptures(family_of_three(), rule=HALF_POINT, family="family", **NAMES),
        seed=1,
        n_resamples=400,
    )
    assert found.table["pattern"].tolist() == ["one member judged", "alone", "none", "together"]
    assert found.table["who"].tolist() == ["", "a", "", "a, b"]
    assert found.tidy()["n"].tolist() == [1, 1, 1]
    # a has two flags in three places, b one: they meet with chance 2/3
    glance = found.glance().iloc[0]
    assert glance["expected"] == pytest.approx(2 / 3, abs=0.1)
    assert glance["p_value"] == pytest.approx(2 / 3, abs=0.1)
    assert "1 family session with ruptures of several members; 0." in found.summary()


def test_family_ruptures_need_a_family_and_two_members():
    with pytest.raises(DataError, match="know no family"):
        family_ruptures(ruptures(course(5.0, 4.0), rule=HALF_POINT, **NAMES), seed=1)
    single = ruptures(course(5.0, 4.0, family="F"), rule=HALF_POINT, family="family", **NAMES)
    with pytest.raises(DataError, match="In no family session could two members be judged"):
        family_ruptures(single, seed=1)


def test_agreement_of_rupture_rules_is_taken_at_the_onset():
    data = course(5.0, 4.0, 5.1, 5.0, 3.0, 5.2)
    v = ruptures(data, rule=VShape(drop=1, back=1, within=1, sd=1.0), **NAMES)
    drop = ruptures(data, rule=DropBelowRunningMean(k=0.6, sd=1.0, min_before=1), **NAMES)
    row = rule_agreement(v, drop, seed=1).tidy().iloc[0]
    assert (row["n_first"], row["n_second"], row["n_both"], row["of"]) == (2, 2, 2, 4)
    assert row["estimate"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DropBelowRunningMean(k=0, sd="own", min_before=3), "k must be a positive number"),
        (lambda: DropBelowRunningMean(k=1, sd="person", min_before=3), "sd must be 'own'"),
        (lambda: DropBelowRunningMean(k=1, sd=-1, min_before=3), "positive number; got -1"),
        (lambda: DropBelowRunningMean(k=1, sd="own", min_before=1), "at least 2 for this rule"),
        (lambda: VShape(drop=1, back=1, within=0, sd=1), "within counts sessions"),
        (lambda: ControlChart(autocorrelation=1, min_before=3), "strictly between -1 and 1"),
        (lambda: ControlChart(autocorrelation=0, min_before=1), "at least 2 for this rule"),
        (lambda: SuddenGain(cut_off=0, better="lower"), "cut_off must be a positive number"),
        (lambda: SuddenLoss(cut_off=1, better="lower", share=1), "share lies from 0"),
        (lambda: Repair(share=0, within=1), "share of the fall"),
        (lambda: Repair(share=1, within=0), "within counts sessions"),
    ],
)
def test_bad_constants_are_refused(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_constants_that_are_open_have_no_default():
    with pytest.raises(TypeError, match=r"'k', 'sd', and 'min_before'"):
        DropBelowRunningMean()
    with pytest.raises(ValueError, match="better must be one of"):
        SuddenGain(cut_off=1, better="less")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pd.concat([course(5.0), course(4.0)]), "'p' has several rows of session 1"),
        (course(NAN, NAN), "'score' has no rating"),
        (course(5.0, 4.0).assign(session=[1, 1.5]), "'session' is not a whole number"),
        (course(5.0, 4.0).assign(person=["p", None]), "'person' is missing in row 1"),
    ],
)
def test_bad_tables_are_refused(data, message):
    with pytest.raises(DataError, match=message):
        ruptures(data, rule=HALF_POINT, **NAMES)


def test_a_person_in_two_families_and_negative_scores_are_refused():
    data = course(5.0, 4.0).assign(family=["F1", "F2"])
    with pytest.raises(DataError, match="in more than one 'family'"):
        ruptures(data, rule=HALF_POINT, family="family", **NAMES)
    with pytest.raises(DataError, match="no meaning below 0; the lowest 'score' is -1"):
        ruptures(course(5.0, -1.0), rule=SuddenGain(1, "lower"), **NAMES)
