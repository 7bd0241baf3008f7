"""Families as files have them: what is refused, and what must not change a number."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.family import (
    DropBelowRunningMean,
    Reliability,
    Repair,
    RoleDifference,
    SuddenGain,
    SuddenLoss,
    VShape,
    apim,
    expected_false_alarms,
    family_balance,
    family_indices,
    family_ruptures,
    one_with_many,
    rule_agreement,
    ruptures,
    split_alliance,
    within_family_icc,
)
from alliance_stats.family.flagged_sessions import clustered_share

NAMES = {"family": "family", "person": "person", "session": "session", "score": "alliance"}
SERIES = {"person": "person", "session": "session", "score": "alliance", "family": "family"}
RULE = DropBelowRunningMean(k=1, sd="within", min_before=2)


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    rows = [
        (f"F{f}", f"F{f}-{role}", role, session)
        for f in range(8)
        for role in ("mother", "child")
        for session in range(1, 7)
    ]
    table = pd.DataFrame(rows, columns=["family", "person", "role", "session"])
    return table.assign(alliance=rng.normal(4.5, 0.8, len(table)).round(2))


@pytest.fixture
def pairs() -> pd.DataFrame:
    rng = np.random.default_rng(2)
    therapist = np.repeat(np.arange(20), 4)
    bond = rng.normal(size=(20, 1))[therapist] + 0.6 * rng.normal(size=(80, 1))
    ratings = 5 + bond + rng.normal(size=(80, 2))
    table = pd.DataFrame(ratings, columns=["by_c", "by_t"])
    return table.assign(therapist=therapist, client=np.arange(80))


def both_sides(table: pd.DataFrame, **changes: str):
    columns = {
        "therapist": "therapist", "client": "client", "by_client": "by_c", "by_therapist": "by_t",
    }  # fmt: skip
    return one_with_many(table, **(columns | changes))


# -- what must not change a number


def disguises(data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return {
        "shuffled": data.sample(frac=1.0, random_state=3),
        "one label for all rows": data.set_axis(np.zeros(len(data), dtype=int)),
        "categories, some unused": data.assign(
            family=pd.Categorical(data["family"], [f"F{i}" for i in range(12)]),
            person=pd.Categorical(data["person"]),
        ),
        "whole sessions as floats": data.assign(session=data["session"].astype(float)),
        "nullable scores": data.assign(alliance=data["alliance"].astype("Float64")),
    }


@pytest.mark.parametrize(
    "disguise", disguises(pd.DataFrame({"family": [], "person": [], "session": [], "alliance": []}))
)
def test_how_the_table_is_laid_out_changes_nothing(data, disguise):
    other = disguises(data)[disguise]
    keys = ["family", "session"]

    def found(table):
        rupt = ruptures(table, rule=RULE, repair=Repair(0.5, 2), **SERIES)
        who = family_ruptures(rupt, seed=1, n_resamples=5)
        return [
            family_indices(table, **NAMES).table,
            rupt.tidy(),
            rupt.episodes.sort_values(["person", "onset"], ignore_index=True),
            who.table.sort_values(keys, ignore_index=True),
            who.tidy(),
            within_family_icc(table, **NAMES).tidy(),
        ]

    for mine, theirs in zip(found(data), found(other), strict=True):
        as_text = dict.fromkeys({"family", "person"} & set(mine.columns), str)
        pd.testing.assert_frame_equal(mine.astype(as_text), theirs.astype(as_text))


def test_family_ids_of_several_types_stay_apart(data):
    number = data["family"].map({f"F{i}": i if i % 2 else f"F{i}" for i in range(8)})
    mine, theirs = (
        family_indices(data, **NAMES),
        family_indices(data.assign(family=number), **NAMES),
    )
    assert sorted(mine.table["range"]) == sorted(theirs.table["range"])
    assert mine.table["changed"].sum() == theirs.table["changed"].sum()


def test_a_family_of_one_is_kept_and_counted(data):
    alone = pd.concat([data, data.iloc[[0]].assign(family="Z", person="Z-mother")])
    found = family_indices(alone, **NAMES)
    row = found.table[found.table["family"] == "Z"].iloc[0]
    assert row["n_members"] == 1
    assert np.isnan(row["range"])
    assert found.glance()["n_single_member"].item() == 1


def test_a_family_whose_members_changed_is_flagged(data):
    came = data.assign(
        alliance=data["alliance"].mask((data["person"] == "F0-child") & (data["session"] == 3))
    )
    table = family_indices(came, **NAMES).table.query("family == 'F0'")
    assert table["changed"].tolist() == [False, False, True, True, False, False]
    assert table["n_absent"].tolist() == [0, 0, 1, 0, 0, 0]


def test_ties_for_the_most_discrepant_pair_do_not_hang_on_the_order_of_rows():
    table = pd.DataFrame(
        {"family": "F", "person": list("dbca"), "session": 1, "alliance": [3, 5, 3, 5]}
    )
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
        assert family_indices(table.iloc[order], **NAMES).table["pair"].item() == "c / b"


def test_whole_scores_at_exactly_the_limit_are_split():
    table = pd.DataFrame({"family": "F", "person": ["a", "b"], "session": 1, "alliance": [3, 4]})
    found = split_alliance(family_indices(table, **NAMES), threshold=1, sd="norm", norm_sd=1.0)
    assert found.table["split"].item() == 1.0


def test_a_gap_in_the_sessions_is_no_session(data):
    # 6 then 4, two sessions apart: a fall from the rating before, whose return may take one session
    table = pd.DataFrame(
        {"family": "F", "person": "p", "session": [1, 2, 5, 6], "alliance": [6.0, 6.0, 4.0, 6.0]}
    )
    near = ruptures(table, rule=VShape(drop=1, back=1, within=1, sd=1.0), **SERIES)
    assert near.episodes[["onset", "known_at"]].to_numpy().tolist() == [[5, 6]]
    far = table.assign(session=[1, 2, 5, 8])
    assert ruptures(far, rule=VShape(drop=1, back=1, within=1, sd=1.0), **SERIES).episodes.empty


def test_the_pair_of_a_split_is_the_pair_that_the_rule_looks_at(data):
    fathers = data[data["role"] == "child"].assign(
        person=lambda d: d["family"] + "-father", role="father", alliance=1.0
    )
    indices = family_indices(
        pd.concat([data, fathers]), role="role",
        differences=[RoleDifference("mother", "child")], **NAMES,
    )  # fmt: skip
    on_roles = split_alliance(
        indices, threshold=1, sd="sample", on="abs_difference_mother_child"
    ).table
    assert on_roles["pair"].isna().all()
    assert split_alliance(indices, threshold=1, sd="sample").table["pair"].notna().all()


@pytest.mark.parametrize(("flag", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_a_share_of_none_or_all_has_no_interval_of_no_width(flag, share):
    found = clustered_share(np.full(40, flag), np.repeat(np.arange(10), 4), conf_level=0.95)
    assert found["estimate"] == share
    assert np.isnan([found["std_error"], found["conf_low"], found["conf_high"]]).all()


def test_members_who_do_not_differ_have_no_icc_and_are_counted(data):
    alike = data.assign(alliance=data.groupby(["family", "session"])["alliance"].transform("mean"))
    found = within_family_icc(alike, **NAMES)
    assert found.tidy()["estimate"].isna().all()
    assert found.glance()["n_undefined"].item() == 6


def test_ids_that_are_numbers_give_the_same_comparison_of_spread(data):
    data = data.assign(stratum=np.where(data["family"] < "F4", "a", "b"))
    numbered = data.assign(person=pd.factorize(data["person"])[0] + 100)
    mine, theirs = (
        family_balance(
            "alliance ~ session", table, family="family", person="person", spread_by="stratum"
        ).deviations()
        for table in (data, numbered)
    )
    pd.testing.assert_frame_equal(mine, theirs)


def test_a_missing_partner_sets_the_other_aside_and_counts_it(data):
    first = data[data["session"] == 1].assign(x=np.arange(16.0) % 5, y=np.arange(16.0) % 7)
    gone = first[~((first["role"] == "mother") & first["family"].isin(["F0", "F1"]))]
    model = apim(gone, dyad="family", member="role", outcome="y", predictors="x")
    assert model.n_dyads == 6
    assert model.rows.n_set_aside == 2


def test_therapists_with_one_client_stay_beside_those_with_more(pairs):
    some = pairs[(pairs["therapist"] > 9) | (pairs["client"] % 4 == 0)]
    found = both_sides(some)
    assert found.glance()["n_dyads"].item() == 50
    shuffled = both_sides(some.sample(frac=1.0, random_state=1))
    np.testing.assert_allclose(
        found.tidy()["estimate"], shuffled.tidy()["estimate"], rtol=1e-6
    )  # two searches of one likelihood


# -- what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d.assign(role=np.where(d.index == 3, "father", d["role"])),
            r"'F0-mother' \(column 'person'\) has more than one 'role'",
        ),
        (lambda d: d.assign(person=d["role"]), "'mother' .* is in more than one 'family'"),
        (
            lambda d: pd.concat(
                [d, d[d["role"] == "child"].assign(person=lambda q: q["person"] + "2")]
            ),
            "several members in the role 'child' at session 1",
        ),
    ],
)
def test_members_that_cannot_be_told_apart_are_refused(data, change, message):
    with pytest.raises(DataError, match=message):
        family_indices(
            change(data), role="role", differences=[RoleDifference("mother", "child")], **NAMES
        )


def test_a_role_that_no_one_has_is_refused(data):
    with pytest.raises(DataError, match="No member has the role 'aunt'"):
        family_indices(data, role="role", differences=[RoleDifference("mother", "aunt")], **NAMES)


def test_two_differences_of_one_name_are_refused(data):
    twice = [RoleDifference("mother", "child"), RoleDifference("mother", "child", several="mean")]
    with pytest.raises(DataError, match="Two differences are called 'difference_mother_child'"):
        family_indices(data, role="role", differences=twice, **NAMES)


def test_columns_that_would_be_written_over_are_refused(data):
    with pytest.raises(DataError, match="'level' would be written over"):
        ruptures(
            data.rename(columns={"alliance": "level"}), person="person", session="session",
            score="level", rule=RULE,
        )  # fmt: skip
    with pytest.raises(DataError, match="'range' would be written over"):
        family_indices(
            data.rename(columns={"family": "range"}), family="range", person="person",
            session="session", score="alliance",
        )  # fmt: skip


def test_ids_shared_between_families_are_named_as_a_reason(data):
    with pytest.raises(DataError, match="where families use the same ids .* unique over them"):
        ruptures(
            data.assign(person=data["role"]), person="person", session="session",
            score="alliance", rule=RULE,
        )  # fmt: skip


def test_sessions_that_are_no_count_are_refused(data):
    coded = data.assign(session=data["session"].mask(data.index == 0, 30_000_000))
    with pytest.raises(DataError, match="Sessions span 30,000,000 numbers for 16 persons"):
        ruptures(coded, rule=RULE, **SERIES)


def test_an_icc_without_two_members_is_refused(data):
    with pytest.raises(DataError, match="No family has two members rated at one session"):
        within_family_icc(data[data["role"] == "mother"], **NAMES)


def test_raters_from_another_family_are_refused(data):
    stray = data.assign(rater=np.where(data.index == 3, "F1-mother", "self"))
    with pytest.raises(DataError, match="'F1-mother' rates in 'family' 'F0' but is a member of"):
        family_indices(stray, rater="rater", **NAMES)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda p: p.assign(by_c=p["by_c"].where(p["client"] % 4 == 0)),
            NotIdentifiedError,
            "one client with a rating in 'by_c'",
        ),
        (
            lambda p: p[p["client"] % 4 == 0],
            NotIdentifiedError,
            "Every 'therapist' has one client",
        ),
        (lambda p: p[p["therapist"] == 0], NotIdentifiedError, "are of one 'therapist'"),
        (lambda p: p.assign(by_t=np.nan), DataError, "Column 'by_t' has no rating"),
        (lambda p: p.assign(client=p["client"] % 4), DataError, "One row per client"),
    ],
)
def test_one_with_many_needs_several_clients_of_several_therapists(pairs, change, error, message):
    with pytest.raises(error, match=message):
        both_sides(change(pairs))


def test_one_column_cannot_stand_for_both_sides(pairs):
    with pytest.raises(DataError, match="'by_c' is named for both sides"):
        both_sides(pairs, by_therapist="by_c")


def test_ids_of_any_name_are_taken(pairs):
    renamed = pairs.rename(columns={"therapist": "position", "client": "rating"})
    found = both_sides(renamed, therapist="position", client="rating")
    pd.testing.assert_frame_equal(found.tidy(), both_sides(pairs).tidy())


def test_numbers_of_draws_that_give_nothing_are_refused(data):
    found = ruptures(data, rule=RULE, **SERIES)
    with pytest.raises(DataError, match="n_resamples counts shuffles and is at least 1; got 0"):
        family_ruptures(found, seed=1, n_resamples=0)
    with pytest.raises(
        DataError, match="n_resamples counts simulated courses and is at least 2; got 1"
    ):
        expected_false_alarms(found, error=0.3, seed=1, n_resamples=1)
    with pytest.raises(
        DataError, match="n_resamples counts bootstrap draws and is at least 1; got 0"
    ):
        rule_agreement(found, found, seed=1, n_resamples=0)
    with pytest.raises(
        DataError, match="n_resamples counts simulated errors and is at least 2; got 1"
    ):
        Reliability(0.9, sd=1.0, seed=1, n_resamples=1)


@pytest.mark.parametrize("rule", [SuddenGain, SuddenLoss])
def test_sudden_changes_refuse_alike(rule):
    with pytest.raises(DataError, match="share lies from 0 up to below 1; got 1.5"):
        rule(1.0, "higher", share=1.5)
    with pytest.raises(DataError, match="cut_off must be a positive number"):
        rule(0.0, "higher")


def test_a_gain_is_a_loss_of_the_score_turned_round():
    gain, loss = SuddenGain(1.0, "higher"), SuddenLoss(1.0, "lower")
    assert gain.sign == loss.sign == -1
    assert SuddenGain(1.0, "lower").sign == SuddenLoss(1.0, "higher").sign == 1
    assert "gain" in gain.words
    assert "loss" in loss.words
    assert gain != SuddenGain(2.0, "higher")
