"""Scores by a stated key, on forms worked out by hand."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import Study
from alliance_stats.errors import AllianceStatsWarning, DataError
from alliance_stats.scales import (
    INSTRUMENTS,
    Scale,
    factor_model,
    instrument,
    measurement_invariance,
    reliability,
    score,
    score_study,
)
from alliance_stats.scales.person_reliability import _covariance
from alliance_stats.scales.scale import _registry

NAN = np.nan
BOND = Scale(
    name="bond",
    items=("q1", "q2", "q3", "q4"),
    limits=(1, 5),
    reversed=("q2",),
    subscales={"near": ("q1", "q2"), "far": ("q3", "q4")},
    least_answered=0.75,
)
FORMS = pd.DataFrame(
    {
        "q1": [5.0, 1.0, NAN, NAN, 4.0],
        "q2": [1.0, 4.0, 2.0, NAN, NAN],
        "q3": [4.0, NAN, 3.0, NAN, NAN],
        "q4": [4.0, 3.0, NAN, NAN, 2.0],
    },
    index=list("vwxyz"),
)


def test_means_with_reversals_and_a_stated_share_of_answers():
    found = score(FORMS, BOND)
    assert found.columns.tolist()[4:] == ["bond", "bond_near", "bond_far", "bond_answered"]
    # v: 5, 6-1, 4, 4; w: 1, 6-4, -, 3; x and z: two of four answered; y: blank
    np.testing.assert_allclose(found["bond"], [4.5, 2.0, NAN, NAN, NAN])
    np.testing.assert_allclose(found["bond_near"], [5.0, 1.5, NAN, NAN, NAN])
    np.testing.assert_allclose(found["bond_far"], [4.0, NAN, NAN, NAN, NAN])
    assert found["bond_answered"].tolist() == [4, 3, 2, 0, 2]
    assert found.index.equals(FORMS.index)


def test_a_sum_never_shrinks_for_a_missing_answer():
    whole = Scale(name="s", items=BOND.items, limits=(1, 5), total="sum", least_answered=0.5)
    np.testing.assert_allclose(
        score(FORMS, whole)["s"], [14.0, 4 * 8 / 3, 4 * 5 / 2, NAN, 4 * 6 / 2]
    )


def test_reversing_an_item_and_its_key_changes_nothing():
    turned = FORMS.assign(q3=6 - FORMS["q3"])
    key = Scale(name="s", items=BOND.items, limits=(1, 5), reversed=("q2", "q3"))
    plain = Scale(name="s", items=BOND.items, limits=(1, 5), reversed=("q2",))
    np.testing.assert_allclose(score(turned, key)["s"], score(FORMS, plain)["s"])
    shuffled = FORMS[["q4", "q2", "q1", "q3"]]
    np.testing.assert_allclose(score(shuffled, plain)["s"], score(FORMS, plain)["s"])


def test_what_cannot_be_an_answer_is_refused():
    with pytest.raises(DataError, match=r"Item 'q1' .* is outside 1 to 5 in row w \(9\)"):
        score(FORMS.assign(q1=[5, 9, 1, 1, 1]), BOND)
    with pytest.raises(DataError, match="no column 'q4'"):
        score(FORMS.drop(columns="q4"), BOND)
    with pytest.raises(DataError, match=r"holds 'often' in row v. Say which number each such"):
        score(FORMS.assign(q1=["often", 1, 1, 1, 1]), BOND)
    with pytest.raises(DataError, match="A new column 'bond' would be written over"):
        score(FORMS.assign(bond=1), BOND)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"items": ("q1",)}, "two or more items"),
        ({"items": ("q1", "q1")}, "each once"),
        ({"limits": (5, 1)}, "low < high"),
        ({"reversed": ("q9",)}, "'q9' is no item"),
        ({"least_answered": 0.0}, "share in"),
        ({"total_of": ("near",)}, "no subscale"),
    ],
)
def test_keys_that_say_nothing_are_refused(wrong: dict[str, object], message: str):
    with pytest.raises(DataError, match=message):
        Scale(**{"name": "s", "items": ("q1", "q2"), "limits": (1, 5), **wrong})


def forms(n: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    level = draw.normal(size=n)
    answers = np.clip(np.round(4 + 1.2 * level[:, None] + draw.normal(size=(n, 4))), 1, 7)
    return pd.DataFrame(answers, columns=list(BOND.items))


def test_an_item_against_its_key_and_another_format_are_warned_of():
    key = Scale(name="s", items=BOND.items, limits=(1, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        score(forms(), key)
    with pytest.warns(AllianceStatsWarning, match="'q2' correlates negatively with the other"):
        score(forms(), Scale(name="s", items=BOND.items, limits=(1, 7), reversed=("q2",)))
    few = forms().clip(upper=5)
    with pytest.warns(AllianceStatsWarning, match="above 5, though it is said to run from 1 to 7"):
        score(few, key)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_registered_key_states_its_source_and_counts(name: str):
    key = _registry()[name]
    assert key["status"] == "verified"
    assert all(key[part] for part in ("edition", "source", "address"))
    columns = [f"i{number}" for number in range(1, key["n_items"] + 1)]
    scale = instrument(name, items=columns)
    # the highest total has every item at its keyed end
    low, high = scale.limits
    best = {c: low if c in scale.reversed else high for c in columns}
    totals = {"sdq": 40, "tasc_r": 48, "tasc_r_parent": 48, "srs": 40}
    data = pd.DataFrame([best])
    if name == "sdq":
        assert score(data, scale)["sdq"].item() == totals[name]
        parts = [set(items) for items in scale.subscales.values()]
        assert sorted(map(len, parts)) == [5] * 5
        assert set().union(*parts) == set(columns)
    else:
        assert score(data, scale)[name].item() == totals[name]


def test_the_sdq_takes_three_of_five_and_rounds_halves_upwards():
    columns = [f"i{number}" for number in range(1, 26)]
    form = pd.DataFrame([dict.fromkeys(columns, 0.0)])
    form[["i3", "i8", "i13"]] = [1.0, 1.0, 0.0]
    form[["i16", "i24"]] = NAN
    found = score(form, instrument("sdq", items=columns))
    assert found["sdq_emotion"].item() == 3.0  # floor(0.5 + 5 * 2 / 3)
    form["i13"] = NAN
    assert np.isnan(score(form, instrument("sdq", items=columns))["sdq_emotion"].item())
    assert np.isnan(score(form, instrument("sdq", items=columns))["sdq"].item())


def test_names_that_stand_for_several_editions_are_refused():
    with pytest.raises(DataError, match="no verified key of 'WAI-12'"):
        instrument("WAI-12", items=["a"] * 12)
    with pytest.raises(DataError, match=r"'srs' .* has 4 items; got 3"):
        instrument("srs", items=["a", "b", "c"])


# ---- reliability --------------------------------------------------------------------------------


def test_alpha_by_hand():
    data = pd.DataFrame({"a": [1.0, 2, 4, 5, 3], "b": [2.0, 2, 5, 4, 3], "c": [1.0, 3, 4, 5, 2]})
    total = data.sum(axis=1)
    expected = 3 / 2 * (1 - data.var().sum() / total.var())
    found = reliability(data, items=["a", "b", "c"])
    assert found.alpha == pytest.approx(expected)
    rest = found.tidy().set_index("term").loc["a", "estimate"]
    assert rest == pytest.approx(np.corrcoef(data["a"], data["b"] + data["c"])[0, 1])
    shuffled = reliability(data, items=["c", "a", "b"])
    assert shuffled.alpha == pytest.approx(expected)
    assert shuffled.omega == pytest.approx(found.omega)


def test_omega_of_equal_loadings_is_the_formula():
    draw = np.random.default_rng(1)
    raw = draw.normal(size=(50, 4))
    raw -= raw.mean(axis=0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False, ddof=0))).T
    loading, own = 0.8, 0.5
    root = np.linalg.cholesky(np.full((4, 4), loading**2) + own * np.eye(4))
    data = pd.DataFrame(white @ root.T, columns=list("abcd"))
    found = reliability(data, items=list("abcd"))
    assert found.omega == pytest.approx(
        (4 * loading) ** 2 / ((4 * loading) ** 2 + 4 * own), rel=1e-5
    )
    assert found.omega == pytest.approx(found.alpha, rel=1e-5)  # equal loadings: alpha is exact


def test_what_a_reader_must_know_comes_first():
    two = reliability(forms(), items=["q1", "q2"])
    assert np.isnan(two.omega)
    assert two.summary().startswith("Omega needs three items or more")
    turned = reliability(forms().assign(q2=8 - forms()["q2"]), items=list(BOND.items))
    assert "'q2' loads against the other items" in turned.notes[0]


@pytest.mark.parametrize(
    ("data", "items", "message"),
    [
        (forms(), ["q1"], "two or more columns"),
        (forms(), "q1", "two or more columns"),
        (forms().assign(q1=3.0), ["q1", "q2"], "Item 'q1' has one value only"),
        (forms(4), ["q1", "q2", "q3", "q4"], "4 complete forms are too few for 4 items"),
        (forms(), ["q1", "q9"], "no column 'q9'"),
    ],
)
def test_what_has_no_reliability_is_refused(data, items, message):
    with pytest.raises(DataError, match=message):
        reliability(data, items=items)


def test_answers_that_cannot_be_squared_are_refused():
    rng = np.random.default_rng(1)
    forms = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("abc"))
    with pytest.raises(DataError, match="Item 'b' holds values too far apart"):
        reliability(forms.assign(b=forms["b"] * 1e300), items=list("abc"))


WIDE = pd.DataFrame(
    {
        "id": ["a", "b"],
        **{f"client_q{k}_s{s}": [k, 5] for k in (1, 2, 3, 4) for s in (1, 2)},
        **{f"therapist_q{k}_s{s}": [2, 6 - k] for k in (1, 2, 3, 4) for s in (1, 2)},
    }
)


def test_items_of_a_wide_table_become_scores_of_a_study():
    long = Study.from_wide(WIDE, wide="{rater}_{item}_s{session}", person="id")
    found = score_study(long, BOND, role="alliance")
    assert found.roles["alliance"] == "bond"
    assert found.roles["rater"] == "rater"
    assert found.scores == ("bond_near", "bond_far")
    assert len(found.sessions) == 8
    own = found.sessions.set_index(["id", "rater", "session"])
    by_hand = score(long.sessions, BOND).set_index(["id", "rater", "session"])
    pd.testing.assert_frame_equal(own, by_hand)
    assert found.describe().tidy().query("about == 'ceiling'")["term"].tolist() == [
        "alliance", "bond_near", "bond_far",
    ]  # fmt: skip


def test_a_second_scale_is_a_further_score_and_a_role_is_taken_once():
    long = Study.from_wide(WIDE, wide="{rater}_{item}_s{session}", person="id")
    found = score_study(long, BOND, role="alliance")
    other = Scale(name="near", items=("q1", "q2"), limits=(1, 6), total="sum")
    again = score_study(found, other)
    assert again.scores == ("bond_near", "bond_far", "near")
    with pytest.raises(DataError, match="The study's alliance is 'bond' already"):
        score_study(found, other, role="alliance")


def _forms(n: int, seed: int = 1) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    common = draw.normal(size=(n, 1))
    items = common + draw.normal(size=(n, 4))
    return pd.DataFrame(items, columns=["q1", "q2", "q3", "q4"])


def _repeated(persons: int, forms: int) -> pd.DataFrame:
    data = _forms(persons * forms)
    own = np.random.default_rng(5).normal(size=persons).repeat(forms)
    return data.add(own, axis=0).assign(
        who=np.repeat(range(persons), forms), when=np.tile(range(forms), persons)
    )


def test_repeated_forms_are_told_apart_from_single_ones():
    data = _repeated(30, 4)
    items = ["q1", "q2", "q3", "q4"]
    found = reliability(data, items=items, person="who", session="when")
    assert found.tidy()["term"].tolist() == [
        "omega within", "omega between", "RkF", "R1R", "RkR", "Rc", "RkRn", "Rcn",
    ]  # fmt: skip
    with pytest.raises(DataError, match="There is no coefficient 'alpha'"):
        _ = found.alpha
    with pytest.raises(DataError, match="two forms of one session"):
        reliability(data.assign(when=1), items=items, person="who", session="when")
    shuffled = data.sample(frac=1, random_state=3)
    again = reliability(shuffled[[*reversed(items), "when", "who"]], items=items[::-1],
                        person="who", session="when")  # fmt: skip
    np.testing.assert_allclose(again.tidy()["estimate"], found.tidy()["estimate"], atol=1e-5)


@pytest.mark.parametrize("unit", [1e-4, 1e5])
def test_reliability_and_fit_do_not_depend_on_the_unit(unit: float):
    data = _repeated(30, 4)
    items = ["q1", "q2", "q3", "q4"]
    scaled = data.assign(**{item: data[item] * unit for item in items})
    for person in (None, "who"):
        plain, other = (reliability(d, items=items, person=person) for d in (data, scaled))
        np.testing.assert_allclose(other.tidy()["estimate"], plain.tidy()["estimate"], atol=1e-5)
        assert other.measurement_error == pytest.approx(unit * plain.measurement_error, rel=1e-5)
    fits = [factor_model(d, {"f": items}).glance().iloc[0] for d in (data, scaled)]
    names = ["chi2", "cfi", "rmsea", "srmr"]
    assert fits[1][names].tolist() == pytest.approx(fits[0][names].tolist(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factors": {"f": ["q1", "q2"]}}, "One factor needs three items"),
        ({"factors": {"f": ["q1", "q2", "q9"]}}, "no column 'q9'"),
        ({"factors": {"f": "q1"}}, "two or more items, each once"),
        ({"equal": ["loadings"]}, "equal= needs group="),
        ({"group": "g", "repeated": True}, "exclude each other"),
        ({"nested_in": "who", "cluster": "who"}, "leave out group=, cluster="),
        ({"group": "g", "equal": ["loadings"], "free": {"loadings": ["q7"]}}, "'q7' is no item"),
        ({"group": "one"}, "Item 'q1' has no two different values in group 'x'"),
    ],
)
def test_factor_models_that_cannot_be_are_refused(arguments: dict[str, object], message: str):
    data = _forms(60).assign(who=np.repeat(range(20), 3), g=np.tile(["x", "y"], 30))
    data["one"] = data["g"]
    if arguments.get("group") == "one":
        data.loc[data["g"] == "x", "q1"] = 3.0
    with pytest.raises(DataError, match=re.escape(message)):
        factor_model(data, **{"factors": {"f": ["q1", "q2", "q3", "q4"]}, **arguments})  # type: ignore[arg-type]


def test_omega_between_persons_who_do_not_differ_is_not_made_up():
    data = _forms(60).assign(who=np.repeat(range(20), 3))
    found = reliability(data, items=["q1", "q2", "q3", "q4"], person="who")
    assert np.isnan(found.value("omega between"))
    assert any("Omega between persons is not known" in note for note in found.notes)


def test_a_blank_form_is_set_aside_and_counted():
    data = _forms(60)
    data.loc[5] = np.nan
    found = factor_model(data, {"f": ["q1", "q2", "q3", "q4"]})
    assert "1 set aside: no item answered" in str(found.rows)
    assert found.measures.nobs == 59


def test_times_are_compared_as_repeated_factors():
    first, second = _forms(120), _forms(120, seed=2)
    data = first.join(second.rename(columns=lambda name: f"{name}_b"))
    factors = {"t1": list(first), "t2": [f"{name}_b" for name in first]}
    table = measurement_invariance(data, factors).tidy()
    assert table["model"].tolist() == ["configural", "metric", "scalar", "strict"]
    assert table["df_change"].dropna().tolist() == [3, 3, 4]
    with pytest.raises(DataError, match="the same items, in the same order"):
        measurement_invariance(data, {**factors, "t2": factors["t2"][:3]})


def test_reversing_an_item_and_its_key_leaves_the_reliability():
    forms = _repeated(30, 4).round().clip(-4, 4)
    items = ("q1", "q2", "q3", "q4")
    plain = Scale(name="s", items=items, limits=(-4, 4))
    turned = forms.assign(q2=-forms["q2"])
    key = Scale(name="s", items=items, limits=(-4, 4), reversed=("q2",))
    for person in (None, "who"):
        own = reliability(forms, items=plain, person=person).tidy()
        pd.testing.assert_frame_equal(reliability(turned, items=key, person=person).tidy(), own)
        by_columns = reliability(forms, items=list(items), person=person).tidy()
        pd.testing.assert_frame_equal(by_columns, own)


def repeated(n: int, k: int, m: int, seed: int = 4) -> pd.DataFrame:
    """Return forms of n persons in k sessions, answered on m items."""
    draw = np.random.default_rng(seed)
    person, session = (axis.ravel() for axis in np.indices((n, k)))
    level = draw.normal(0, 0.8, n)[person] + draw.normal(0, 0.3, k)[session]
    level += draw.normal(0, 0.6, n * k)
    answers = level[:, None] + draw.normal(0, 0.5, (n, m))[person] + draw.normal(0, 0.7, (n * k, m))
    items = pd.DataFrame(answers, columns=[f"i{j}" for j in range(m)])
    return items.assign(person=person, session=session)


def test_with_as_many_sessions_each_the_intervals_are_those_of_mean_squares():
    n, k, m = 15, 4, 3
    data = repeated(n, k, m)
    items = ["i0", "i1", "i2"]
    found = reliability(data, items=items, person="person", session="session").tidy()
    found = found.set_index("term")
    form = data[items].mean(axis=1).to_numpy().reshape(n, k)
    within = form.var(axis=1, ddof=1).mean()
    own = k * form.mean(axis=1).var(ddof=1)
    tails = stats.f.ppf([0.025, 0.975], n * (k - 1), n - 1)
    # the mean of any k sessions, as the intraclass correlation of means (Shrout & Fleiss 1979)
    np.testing.assert_allclose(
        found.loc["RkRn", ["conf_low", "conf_high"]].astype(float),
        1 - within / own / tails,
        rtol=1e-4,
    )
    answers = data[items].to_numpy()
    inside = ((answers - answers.mean(axis=1, keepdims=True)) ** 2).sum() / (n * k * (m - 1))
    tails = stats.f.ppf([0.025, 0.975], n * k * (m - 1), n * (k - 1))
    np.testing.assert_allclose(
        found.loc["Rcn", ["conf_low", "conf_high"]].astype(float),
        1 - inside / m / within / tails,
        rtol=1e-4,
    )
    both = form - form.mean(axis=0) - form.mean(axis=1, keepdims=True) + form.mean()
    crossed = (both**2).sum() / ((n - 1) * (k - 1))
    cube = answers.reshape(n, k, m)
    cube = cube - cube.mean(axis=2, keepdims=True)
    cube = cube - cube.mean(axis=0) - cube.mean(axis=1, keepdims=True) + cube.mean(axis=(0, 1))
    df = (m - 1) * (n - 1) * (k - 1)
    tails = stats.f.ppf([0.025, 0.975], df, (n - 1) * (k - 1))
    np.testing.assert_allclose(
        found.loc["Rc", ["conf_low", "conf_high"]].astype(float),
        1 - (cube**2).sum() / df / m / crossed / tails,
        rtol=1e-4,
    )


def test_intervals_of_generalizability_depend_on_no_unit_and_hold_at_no_variance():
    data = repeated(12, 5, 3)
    items = ["i0", "i1", "i2"]
    named = {"items": items, "person": "person", "session": "session"}
    plain = reliability(data, **named).tidy().query("about == 'generalizability'")
    assert plain[["conf_low", "conf_high"]].notna().all(axis=None)
    assert (plain["conf_low"] < plain["estimate"]).all()
    assert (plain["estimate"] < plain["conf_high"]).all()
    for unit in (1e-4, 1e5):
        other = reliability(data.assign(**{i: data[i] * unit for i in items}), **named).tidy()
        other = other.query("about == 'generalizability'")
        np.testing.assert_allclose(other["conf_low"], plain["conf_low"], rtol=1e-3)
    draw = np.random.default_rng(3)
    noise = data.assign(**{i: draw.normal(size=len(data)) for i in items})
    none = reliability(noise, **named).tidy().query("about == 'generalizability'")
    assert (none["conf_low"] >= 0.0).all()
    assert (none["conf_high"] <= 1.0).all()


def test_answers_in_words_and_codes_are_read_as_stated():
    words = {"nie": 1, "A2": 2, "immer": 5}
    written = FORMS.assign(q1=["immer ", "nie", None, None, 4], q2=["nie", "4", "A2", None, " "])
    key = replace(BOND, answers=words)
    found = score(written.astype({"q2": "category"}), key)
    np.testing.assert_allclose(found["bond"], score(FORMS, BOND)["bond"])
    assert found["q1"].tolist() == written["q1"].tolist()
    with pytest.raises(DataError, match=r"Item 'q1' .* holds 'oft', 'selten' in rows v, z. Say"):
        score(written.assign(q1=["oft", "nie", None, None, "selten"]), key)
    with pytest.raises(DataError, match=r"outside 1 to 5 in row w \(9\)"):
        score(written, replace(BOND, answers={**words, "nie": 9}))
    lines = ["q1", "q2", "q3", "q4"]
    marked = FORMS.assign(q1="gut")
    assert score(marked, instrument("srs", items=lines, answers={"gut": 9}))["srs"].iloc[0] == 18.0


def test_omega_at_two_levels_has_limits_between_0_and_1():
    data = repeated(9, 4, 4, seed=2)
    found = reliability(data, items=["i0", "i1", "i2", "i3"], person="person").tidy()
    rows = found[found["term"].str.startswith("omega")].set_index("term")
    assert rows.loc["omega between", "estimate"] + 1.96 * rows.loc["omega between", "std_error"] > 1
    for row in rows.itertuples():
        reach = stats.norm.ppf(0.975) * row.std_error / (row.estimate * (1 - row.estimate))
        odds = row.estimate / (1 - row.estimate)
        low, high = (odds * np.exp(sign * reach) for sign in (-1, 1))
        assert row.conf_low == pytest.approx(low / (1 + low), rel=1e-9)
        assert row.conf_high == pytest.approx(high / (1 + high), rel=1e-9)


@pytest.mark.parametrize("n_kinds", [1, 2, 3])
def test_the_covariance_of_variance_components_is_that_of_dense_matrices(n_kinds: int):
    draw = np.random.default_rng(1)
    codes = [draw.integers(0, width, 40) for width in (9, 5, 3)][:n_kinds]
    variances = [*(0.7, 0.2, 0.4)[:n_kinds], 1.3]
    kinds = [np.equal.outer(own, own).astype(float) for own in codes] + [np.eye(40)]
    V = sum(variance * kind for variance, kind in zip(variances, kinds, strict=True))
    inverse, one = np.linalg.inv(V), np.ones((40, 1))
    P = inverse - inverse @ one @ one.T @ inverse / (one.T @ inverse @ one)
    information = [[np.trace(P @ a @ P @ b) / 2 for b in kinds] for a in kinds]
    found = _covariance(codes, variances)
    np.testing.assert_allclose(found, np.linalg.inv(information), rtol=1e-8)


def test_a_model_without_df_that_cannot_take_the_signs_is_not_said_to_fit():
    signs = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, -0.3], [0.5, -0.3, 1.0]])
    values = np.random.default_rng(1).multivariate_normal(np.zeros(3), signs, size=200)
    data = pd.DataFrame(values, columns=["q1", "q2", "q3"])
    items = {"f": ["q1", "q2", "q3"]}
    odd = factor_model(data, items)
    assert "0 df and still does not fit (chi-squared 242.89" in odd.summary()
    assert odd.glance()[["tli", "rmsea"]].isna().to_numpy().all()
    even = factor_model(data.assign(q3=data["q3"] + 2.0 * data["q2"]), items)
    assert "it fits as it must" in even.summary()
    assert even.glance()[["tli", "rmsea"]].iloc[0].tolist() == [1.0, 0.0]
