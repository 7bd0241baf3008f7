"""Two spellings of one group, unit or label are refused wherever they would count as two."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import DataError
from alliance_stats.evidence import meta_analysis
from alliance_stats.family import (
    VShape,
    apim,
    family_balance,
    family_indices,
    one_with_many,
    ruptures,
)
from alliance_stats.multilevel import glmm, lmm
from alliance_stats.survival import (
    competing_hazards,
    cox_ph,
    cumulative_incidence,
    gray_test,
    kaplan_meier,
    log_rank,
)

TWO_WAYS = r"Column '{column}' spells what looks like one {kind} in 2 ways: '{a}' \(.*'{b}' \("


@pytest.fixture
def families() -> pd.DataFrame:
    """Return 48 families: times, endings, and three labels that are each spelt in one way."""
    rng = np.random.default_rng(8)
    n = 48
    return pd.DataFrame(
        {
            "therapist": np.repeat([f"T{k}" for k in range(1, 9)], 6),
            "ward": np.tile(["north", "south", "west"], 16),
            "weeks": rng.integers(1, 20, n),
            "left": np.tile([0, 1, 1, 0, 1], 10)[:n],
            "ending": np.tile(["ongoing", "dropout", "planned", "dropout"], 12),
            "alliance": rng.normal(5.0, 1.0, n),
        }
    )


def misspelt(data: pd.DataFrame, column: str, old: str, new: str) -> pd.DataFrame:
    """Spell the last of some equal labels in another way."""
    where = np.flatnonzero((data[column] == old).to_numpy())[-1]
    return data.assign(**{column: data[column].where(np.arange(len(data)) != where, new)})


Fit = Callable[[pd.DataFrame], object]

TIMES = {"time": "weeks", "event": "left"}
ENDINGS = {"time": "weeks", "event": "ending"}

GROUPED: dict[str, Fit] = {
    "strata of curves": lambda data: kaplan_meier(data, **TIMES, strata="ward"),
    "strata of incidences": lambda data: cumulative_incidence(data, **ENDINGS, strata="ward"),
    "groups of a log-rank test": lambda data: log_rank(data, **TIMES, group="ward"),
    "groups of Gray's test": lambda data: gray_test(data, **ENDINGS, group="ward"),
    "strata of Cox": lambda data: cox_ph("alliance", data, **TIMES, strata="ward"),
    "predictor of Cox": lambda data: cox_ph("ward", data, **TIMES),
    "predictor of a mixed model": lambda data: lmm("alliance ~ ward + (1 | therapist)", data),
    "predictor of a logit": lambda data: glmm(
        "left ~ ward + (1 | therapist)", data, family="binomial"
    ),
}
CLUSTERED: dict[str, Fit] = {
    "clusters of curves": lambda data: kaplan_meier(data, **TIMES, cluster="therapist"),
    "clusters of Cox": lambda data: cox_ph("alliance", data, **TIMES, cluster="therapist"),
    "frailty": lambda data: cox_ph("alliance", data, **TIMES, frailty="therapist"),
    "units of a mixed model": lambda data: lmm("alliance ~ 1 + (1 | therapist)", data),
    "units of a logit": lambda data: glmm("left ~ 1 + (1 | therapist)", data, family="binomial"),
}


@pytest.mark.parametrize("fit", GROUPED.values(), ids=GROUPED.keys())
def test_a_group_spelt_in_two_ways_is_refused(families: pd.DataFrame, fit: Fit):
    fit(families)
    found = TWO_WAYS.format(column="ward", kind="[a-z]+", a="west", b="West")
    with pytest.raises(DataError, match=found):
        fit(misspelt(families, "ward", "west", "West"))


@pytest.mark.parametrize("fit", CLUSTERED.values(), ids=CLUSTERED.keys())
def test_a_unit_spelt_in_two_ways_is_refused(families: pd.DataFrame, fit: Fit):
    fit(families)
    found = TWO_WAYS.format(column="therapist", kind="[a-z]+", a="T3", b="T03")
    with pytest.raises(DataError, match=found):
        fit(misspelt(families, "therapist", "T3", "T03"))


def test_an_ending_spelt_in_two_ways_is_refused(families: pd.DataFrame):
    found = TWO_WAYS.format(column="ending", kind="ending", a="dropout", b="Dropout")
    with pytest.raises(DataError, match=found):
        cumulative_incidence(misspelt(families, "ending", "dropout", "Dropout"), **ENDINGS)


def test_clusters_of_competing_hazards_are_held_against_each_other():
    rng = np.random.default_rng(3)
    n_sessions = np.tile([1, 2, 3], 40)
    family = np.repeat(np.arange(120), n_sessions)
    periods = pd.DataFrame({"family": family, "session": 1}).assign(
        session=lambda data: data.groupby("family")["session"].cumsum(),
        therapist=[f"T{k % 8}" for k in family],
        alliance=rng.normal(size=len(family)),
    )
    last = periods["session"].to_numpy() == n_sessions[family]
    came = np.array(["dropout", "planned", "ongoing", "dropout"])[family % 4]
    periods = periods.assign(outcome=np.where(last, came, "ongoing"))
    columns = {"event": "outcome", "censored": "ongoing", "session": "session", "unit": "family"}
    competing_hazards("alliance", periods, **columns, cluster="therapist")
    wrong = misspelt(periods, "therapist", "T3", "t3")
    found = TWO_WAYS.format(column="therapist", kind="cluster", a="T3", b="t3")
    with pytest.raises(DataError, match=found):
        competing_hazards("alliance", wrong, **columns, cluster="therapist")


def test_ids_numbered_anew_in_each_unit_pass(families: pd.DataFrame):
    nested = families.assign(
        child=np.tile(["a", "a", "a", "b", "b", "b", "A", "A", "A", "B", "B", "B"], 4)
    )
    fit = lmm("alliance ~ 1 + (1 | therapist/child)", nested)
    assert fit.rows.n_used == len(nested)
    numbered = families.assign(therapist=np.repeat(np.arange(8), 6))
    assert kaplan_meier(numbered, **TIMES, cluster="therapist").rows.n_used == len(nested)


def test_a_nested_unit_spelt_in_two_ways_is_refused(families: pd.DataFrame):
    nested = families.assign(child=np.tile(["a", "a", "a", "b", "b", "b"], 8))
    found = TWO_WAYS.format(column="child", kind="unit", a="b", b="B")
    with pytest.raises(DataError, match=found):
        lmm("alliance ~ 1 + (1 | therapist/child)", misspelt(nested, "child", "b", "B"))


@pytest.mark.parametrize(("column", "old", "new"), [("study", "s2", "S2"), ("rated", "f", "F")])
def test_studies_and_moderators_are_held_against_each_other(column: str, old: str, new: str):
    found = pd.DataFrame(
        {
            "study": ["s1", "s1", "s2", "s2", "s3", "s3", "s4", "s4"],
            "rated": list("fmfmfmfm"),
            "d": [0.1, 0.3, 0.2, 0.5, 0.0, 0.4, 0.3, 0.6],
            "v": 0.04,
        }
    )
    columns = {"estimate": "d", "variance": "v", "study": "study", "moderators": "rated"}
    assert meta_analysis(found, **columns).rows.n_used == len(found)
    with pytest.raises(DataError, match=f"'{column}' spells .* in 2 ways"):
        meta_analysis(misspelt(found, column, old, new), **columns)


def test_what_splits_the_spread_of_families_is_held_against_itself():
    data = pd.DataFrame(
        {
            "family": np.repeat(["f1", "f2", "f3", "f4"], 4),
            "person": np.repeat([f"p{k}" for k in range(8)], 2),
            "role": np.tile(np.repeat(["mother", "child"], 2), 4),
            "session": np.tile([1, 2], 8),
            "alliance": np.linspace(3.0, 6.0, 16),
            "framework": np.repeat(["usual", "usual", "informed", "Informed"], 4),
        }
    )
    found = TWO_WAYS.format(column="framework", kind="label", a="informed", b="Informed")
    with pytest.raises(DataError, match=found):
        family_balance(
            "alliance ~ role",
            data,
            family="family",
            person="person",
            spread_by="framework",
        )


@pytest.fixture
def members() -> pd.DataFrame:
    """Return mothers and children of six families over four sessions."""
    rng = np.random.default_rng(5)
    family = np.repeat([f"F{k}" for k in range(1, 7)], 8)
    role = np.tile(np.repeat(["mother", "child"], 4), 6)
    return pd.DataFrame(
        {
            "family": family,
            "role": role,
            "person": [f"{f}-{r}" for f, r in zip(family, role, strict=True)],
            "session": np.tile([1, 2, 3, 4], 12),
            "alliance": rng.normal(5.0, 1.0, len(family)),
        }
    )


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("person", "F2-child", "F02-child"),
        ("role", "mother", "Mother"),
        ("family", "F6", "F06"),
    ],
)
def test_members_of_families_are_held_against_each_other(
    members: pd.DataFrame, column: str, old: str, new: str
):
    columns = {"family": "family", "person": "person", "session": "session", "score": "alliance"}
    assert family_indices(members, **columns, role="role").rows.n_used == len(members)
    with pytest.raises(DataError, match=f"'{column}' spells .* in 2 ways: '{old}' .*'{new}'"):
        family_indices(misspelt(members, column, old, new), **columns, role="role")


def test_a_series_of_one_person_in_two_spellings_is_refused(members: pd.DataFrame):
    columns = {"person": "person", "session": "session", "score": "alliance"}
    rule = VShape(drop=1.0, back=0.5, within=2, sd="within")
    with pytest.raises(DataError, match="'person' spells .* in 2 ways: 'F1-child' .*'f1-child'"):
        ruptures(misspelt(members, "person", "F1-child", "f1-child"), **columns, rule=rule)


def test_dyads_and_clients_are_held_against_each_other(members: pd.DataFrame):
    pairs = members[members["session"] == 1].assign(x=lambda data: data["alliance"] ** 2)
    columns = {"dyad": "family", "member": "role", "outcome": "alliance", "predictors": "x"}
    with pytest.raises(DataError, match="'family' spells .* in 2 ways: 'F3' .*'F03'"):
        apim(misspelt(pairs, "family", "F3", "F03"), **columns)
    with pytest.raises(DataError, match="'person' spells .* in 2 ways: 'F1-child' .*'F1-CHILD'"):
        one_with_many(
            pairs.assign(person=["F1-child", "F1-CHILD", *pairs["person"][2:]]),
            therapist="role",
            client="person",
            by_client="alliance",
            by_therapist="x",
        )
