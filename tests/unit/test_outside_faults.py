"""Hard inputs that were met outside: each gives the right value or the sentence that helps."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import alliance_stats as als
from alliance_stats import comparisons, lmm, regression
from alliance_stats.change import ChangeReference, classify_change, least_reliable_change
from alliance_stats.errors import AllianceStatsError, DataError, FormulaError, NotIdentifiedError
from alliance_stats.figures import kaplan_meier_figure

CLOSE = 1e-6  # the same fit under other names or in another unit: up to the search's own stop


def nested(n_persons: int = 24, n_sessions: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    person = np.repeat(np.arange(n_persons), n_sessions)
    arm = np.where(person % 2, "new", "usual")
    session = np.tile(np.arange(n_sessions), n_persons)
    own = rng.normal(0.0, 1.0, n_persons)[person]
    alliance = 4.0 + 0.3 * session * (arm == "new") + own + rng.normal(0.0, 0.6, len(person))
    return pd.DataFrame({"person": person, "arm": arm, "session": session, "alliance": alliance})


def times(n: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": x, "time": rng.integers(1, 15, n).astype(float),
            "event": (rng.random(n) < 0.6).astype(int),
            "state": rng.choice(["none", "left", "done"], n), "group": rng.choice(["a", "b"], n),
            "site": rng.integers(0, 2, n),
        }
    )  # fmt: skip


def test_a_slope_that_cannot_vary_within_its_units_is_refused() -> None:
    with pytest.raises(NotIdentifiedError, match="3 variances and covariances, of which the rows"):
        als.lmm("alliance ~ arm + (arm | person)", nested())


@pytest.mark.parametrize("name", ["group", "time", "outcome", "level", "state", "term", "estimate"])
def test_ordinary_names_of_a_users_columns_have_their_means(name: str) -> None:
    data = nested()
    plain = als.estimated_means(als.lmm("alliance ~ arm * session + (1 | person)", data), "arm")
    model = als.lmm(
        f"alliance ~ {name} * session + (1 | person)", data.rename(columns={"arm": name})
    )
    found = als.estimated_means(model, name).tidy()
    np.testing.assert_allclose(found["estimate"], plain.tidy()["estimate"], rtol=CLOSE)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_known_variances_do_not_hang_on_the_unit(scale: float) -> None:
    rng = np.random.default_rng(2)
    studies = pd.DataFrame({"study": np.arange(15), "vi": rng.uniform(0.02, 0.2, 15)})
    studies["yi"] = 0.3 + rng.normal(0.0, 0.4, 15) + rng.normal(0.0, np.sqrt(studies["vi"]))
    other = studies.assign(yi=studies["yi"] * scale, vi=studies["vi"] * scale**2)
    fits = [als.lmm("yi ~ 1 + (1 | study)", data, known_variance="vi") for data in (studies, other)]
    tables = [model.tidy(effects="ran_pars")["estimate"].iloc[0] for model in fits]
    assert tables[0] > 0.1
    assert tables[1] / scale == pytest.approx(tables[0], rel=1e-4)


def test_a_factor_that_is_fixed_and_random_is_told() -> None:
    data = nested().assign(talk=lambda d: d["person"].astype(str))
    with pytest.raises(NotIdentifiedError, match="talk"):
        als.lmm("alliance ~ talk + (1 | talk)", data)


def test_strata_whose_names_join_to_one_label_stay_apart() -> None:
    data = times().assign(s1=lambda d: np.where(d["group"] == "a", "a, b", "a"))
    data["s2"] = np.where(data["group"] == "a", "c", "b, c")
    plain = data.assign(s1=data["group"], s2="z")
    options = {"time": "time", "event": "event", "strata": ["s1", "s2"]}
    tables = [
        als.cox_ph("x", d, **options).survival(d.iloc[[4, 5]], times=[2, 5])["estimate"]
        for d in (data, plain)
    ]
    np.testing.assert_allclose(tables[0], tables[1], rtol=CLOSE)
    assert als.kaplan_meier(data, **options).tidy()["strata"].nunique() == 2


def test_one_constant_or_empty_outcome_leaves_the_others_their_rows() -> None:
    data = times().assign(same=4.0, gone=np.nan)
    found = als.compare_groups(data, outcomes=["x", "same", "gone"], group="group")
    rows = found.tidy().set_index("outcome")
    assert np.isfinite(rows.loc["x", "estimate"]).all()
    assert {"same", "gone"} <= set(rows.index) | set(
        " ".join(found.notes).replace("'", " ").split()
    )


def _cox(data: pd.DataFrame) -> object:
    return als.cox_ph("x", data, time="time", event="event")


@pytest.mark.parametrize(
    "ask",
    [
        lambda d: als.contrasts(_cox(d)),
        lambda d: als.concordance(als.fine_gray("x", d, time="time", event="state", cause="left",
                                                censored="none")),
        lambda d: als.cox_ph("x", d, time="time", event="event", cluster=["group", "site"]),
        lambda d: als.log_rank(d.assign(event=0), time="time", event="event", group="group"),
        lambda d: als.cox_ph("C(group)", d, time="time", event="event").survival(
            pd.DataFrame({"group": ["c"]}), times=[2.0]
        ),
        lambda d: als.kaplan_meier(d, time="time", event="event").quantiles([1.25]),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    ask: Callable[[pd.DataFrame], object],
) -> None:
    with pytest.raises((AllianceStatsError, TypeError, ValueError)) as refusal:
        ask(times())
    last = refusal.traceback[-1]
    assert "alliance_stats" in str(last.path)
    assert len(str(refusal.value)) > 30


def test_nothing_is_foretold_beyond_the_data() -> None:
    data = times()
    try:
        beyond = _cox(data).survival(data.iloc[[0]], times=[500.0])["estimate"]
    except AllianceStatsError:
        return
    assert beyond.isna().all()


def test_a_frailty_over_two_groups_says_how_few_they_are() -> None:
    model = als.cox_ph("x", times(), time="time", event="event", frailty="site")
    assert "A frailty over 2 groups of site: below about 10" in model.notes[0]


def test_large_groups_of_yes_and_no_are_printed_without_a_large_table() -> None:
    rng = np.random.default_rng(4)
    for n in (600, 100_000):
        data = pd.DataFrame({"left": rng.integers(0, 2, 2 * n), "arm": np.repeat(["a", "b"], n)})
        began = time.process_time()
        assert "left" in als.compare_groups(data, outcomes=["left"], group="arm").summary()
        assert time.process_time() - began < 20.0


def test_many_groups_of_yes_and_no_fall_to_a_stated_sample() -> None:
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"left": rng.integers(0, 2, 80), "arm": np.repeat(list("abcdefgh"), 10)})
    began = time.process_time()
    found = als.compare_groups(data, outcomes=["left"], group="arm")
    assert found.tidy()["p_value"].notna().any()
    assert time.process_time() - began < 20.0


@pytest.mark.parametrize("level", ["interval", "ordinal"])
def test_coders_who_agree_fully_agree_fully(level: str) -> None:
    codes = pd.DataFrame({"a": [1, 2, 3, 2], "b": [1, 2, 3, 2]})
    found = als.coder_agreement(codes, coders=["a", "b"], measurement=level, seed=1, n_resamples=50)
    rows = found.tidy().set_index("term")["estimate"]
    icc = rows[[name for name in rows.index if name.startswith("ICC")]]
    np.testing.assert_allclose(icc.dropna(), 1.0)


def test_an_unused_category_keeps_its_place_in_the_weights() -> None:
    """vcd::Kappa(weights = "Fleiss-Cohen"): the places of all declared categories count."""
    order = pd.CategoricalDtype(["none", "some", "much", "all"], ordered=True)
    a = pd.Series(["none", "none", "some", "all", "all", "some"], dtype=order)
    b = pd.Series(["none", "some", "some", "all", "some", "some"], dtype=order)
    found = als.coder_agreement(
        pd.DataFrame({"a": a, "b": b}),
        coders=["a", "b"],
        measurement="ordinal",
        seed=1,
        n_resamples=50,
    )
    rows = found.tidy().set_index("term")["estimate"]
    got = rows[next(name for name in rows.index if "quadratic" in name)]
    x, y = a.cat.codes.to_numpy(), b.cat.codes.to_numpy()
    disagree = np.mean((x - y) ** 2) / np.mean((x[:, None] - y[None, :]) ** 2)
    assert got == pytest.approx(1.0 - disagree)


def test_a_change_of_exactly_the_critical_value_has_one_verdict() -> None:
    least = least_reliable_change(sd=7.5, reliability=0.5)
    reference = ChangeReference(sd_before=7.5)
    found = {
        str(classify_change([x], [x + least], reliability=0.5, better="higher",
                            reference=reference)[0])
        for x in (0.0, 20.0, 40.0)
    }  # fmt: skip
    assert len(found) == 1


def test_standardised_differences_do_not_hang_on_the_unit() -> None:
    data = times()
    tables = [
        als.table_one(data.assign(x=data["x"] * scale), variables=["x"], group="group")
        .tidy()["smd"]
        .dropna()
        for scale in (1.0, 1e-9)
    ]
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-9)
    assert np.isfinite(tables[1]).all()


def test_a_share_of_variance_of_a_complementary_log_log_has_its_residual() -> None:
    """The latent residual of cloglog has variance pi^2 / 6 (Nakagawa et al. 2017)."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"unit": np.repeat(np.arange(40), 8)})
    data["y"] = (rng.random(320) < 1 - np.exp(-np.exp(rng.normal(-0.5, 1, 40)[data["unit"]]))) * 1
    model = als.glmm("y ~ 1 + (1 | unit)", data, family="binomial", link="cloglog")
    sd = model.tidy(effects="ran_pars")["estimate"].iloc[0]
    found = als.r_squared(model).tidy().set_index("measure")["estimate"]
    conditional = found["conditional"]
    assert conditional == pytest.approx(sd**2 / (sd**2 + np.pi**2 / 6), rel=1e-6)


def test_a_label_of_dollars_is_drawn(tmp_path: Path) -> None:
    data = times()
    fit = als.kaplan_meier(data, time="time", event="event")

    figure = kaplan_meier_figure(fit, event_label="$$")
    assert figure.svg() if hasattr(figure, "svg") else figure.caption


def test_a_file_of_codes_without_a_zero_is_refused_or_declared() -> None:
    data = times().assign(state=np.resize([1, 2, 3], 60))
    with pytest.raises(DataError, match="censored"):
        als.cumulative_incidence(data, time="time", event="state")


DYADS = pd.DataFrame(
    {"dyad": np.repeat(range(12), 2), "role": ["w", "h"] * 12, "x": np.arange(24.0) % 7,
     "y": np.arange(24.0) % 5}
)  # fmt: skip


@pytest.mark.parametrize("stray", ["3,5", "k.A."])
def test_numbers_beside_a_text_are_no_categories(stray: str) -> None:
    """A column read with one cell that is no number would be a category for each number."""
    cells = pd.Series([1.5, 2.5, stray, 2.0, None, 5.0] * 4, dtype=object)
    data = DYADS.assign(seen=cells, arm=["a", "b", "b"] * 8)
    asks = [
        lambda d: als.table_one(d, variables=["seen"], group="arm"),
        lambda d: als.apim(
            d, dyad="dyad", member="role", outcome="y", predictors="x", covariates=["seen"]
        ),
        lambda d: als.compare_groups(d, outcomes=["seen"], group="arm"),
        lambda d: als.regression("y ~ seen", d),
    ]
    written = data.assign(seen=data["seen"].map(lambda cell: None if cell is None else str(cell)))
    for ask in asks:
        with pytest.raises(DataError, match=f"'{stray}'"):
            ask(data)
        with pytest.raises(DataError, match="'seen'"):
            ask(written)


def test_a_pattern_mixture_counts_all_rows_that_came_in() -> None:
    data = nested()
    data["left"] = np.where(data["person"] % 3, "stayed", "left")
    data.loc[data.index[::24], "alliance"] = np.nan
    model = als.pattern_mixture(
        "alliance ~ session + (1 | person)", data, pattern="left", unit="person"
    )
    assert "96 rows came in (person: 24). 4 set aside: 'alliance' is missing." in model.summary()


def test_a_random_intercept_that_runs_away_names_quadrature() -> None:
    """As geepack's muscatine: Laplace's SD runs to infinity, 25 nodes give 3.5."""
    rng = np.random.default_rng(4)
    u = rng.normal(0.0, 5.0, 200)
    data = pd.DataFrame({"id": np.repeat(np.arange(200), 3), "t": np.tile([0, 1, 2], 200)})
    chance = 1.0 / (1.0 + np.exp(3.0 - 0.3 * data["t"] - u[data["id"]]))
    data["y"] = (rng.random(600) < chance).astype(int)
    with pytest.raises(NotIdentifiedError, match="nodes="):
        als.glmm("y ~ t + (1 | id)", data, family="binomial")
    model = als.glmm("y ~ t + (1 | id)", data, family="binomial", nodes=25)
    assert 2.0 < model.tidy(effects="ran_pars")["estimate"].iloc[0] < 10.0


def test_an_ordered_regression_has_its_thresholds_for_an_intercept() -> None:
    data = pd.DataFrame({"step": [1, 2, 3, 1, 2, 3, 3, 1], "flag": [True, False] * 4})
    with pytest.raises(FormulaError, match="thresholds take its place"):
        regression("step ~ 0 + flag", data, family="ordinal")


def test_a_number_read_as_categories_asks_for_no_matrix_of_slopes() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=90), "g": np.repeat(np.arange(9), 10)})
    data["x"] = pd.Categorical(rng.normal(size=90))
    with pytest.raises(NotIdentifiedError, match="4095 variances and covariances from 90 rows"):
        lmm("y ~ 1 + (x | g)", data)


def test_an_effect_for_nearly_each_rating_is_refused_in_words() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"step": rng.integers(1, 4, 90), "person": np.repeat(range(15), 6)})
    data["x"] = pd.Categorical(rng.normal(size=90).round(1))
    with pytest.raises(NotIdentifiedError, match="Separation|hardly tell the thresholds"):
        als.ordinal("step ~ x + (1 | person)", data)


def test_complex_numbers_are_neither_units_nor_endings() -> None:
    data = pd.DataFrame({"y": [1.0, 2, 4, 3, 5, 7], "g": np.array([1, 1, 2, 2, 3, 3], complex)})
    with pytest.raises(DataError, match="'g' holds complex numbers"):
        lmm("y ~ 1 + (1 | g)", data)
    with pytest.raises(DataError, match="'g' holds complex numbers"):
        als.kaplan_meier(data, time="y", event="g")
    with pytest.raises(DataError, match="'g' holds complex numbers"):
        als.decompose(data, "y", levels=["g"])


def test_one_value_is_compared_with_none() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=20), "flag": True, "x": rng.normal(size=20)})
    with pytest.raises(NotIdentifiedError, match="'flag' has one value"):
        comparisons(regression("y ~ x + flag", data), "flag")


@pytest.mark.parametrize("unit", [1e-160, 1e160])
@pytest.mark.parametrize(
    "asked",
    [
        lambda d: als.compare_groups(d, outcomes="y", group="g"),
        lambda d: als.compare_groups(d, outcomes="z", group="g", baseline="y"),
        lambda d: als.table_one(d, variables="y", group="g"),
        lambda d: als.coder_agreement(d, coders=["y", "z"], measurement="interval", seed=1),
    ],
)
def test_numbers_whose_squares_no_double_holds_are_refused(
    asked: Callable[[pd.DataFrame], object], unit: float
) -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": list("AB") * 12, "id": np.repeat(range(6), 4)})
    data = data.assign(y=rng.normal(size=24) * unit, z=rng.normal(size=24))
    with pytest.raises(DataError, match="Give it in another unit"):
        asked(data)


def test_a_perfect_correlation_has_its_interval_in_peace() -> None:
    data = pd.DataFrame({"x": [1.0, 2, 3, 4, 6], "y": [2.0, 4, 6, 8, 12]})
    assert als.correlations(data, ["x", "y"]).tidy()["conf_low"].item() == 1.0


def test_a_truth_value_among_ratings_is_named() -> None:
    data = pd.DataFrame({"y": [1.0, True, 3.0], "g": ["a", "a", "b"]}, dtype=object)
    with pytest.raises(DataError, match="True in row 1"):
        als.decompose(data, "y", levels=["g"])


def test_patterns_may_be_numbers_with_a_decimal_point() -> None:
    data = nested().assign(left=lambda d: 1 + d["person"] % 2)
    asked = {"pattern": "left", "unit": "person"}
    whole = als.pattern_mixture("alliance ~ session + (1 | person)", data, **asked).tidy()
    point = als.pattern_mixture(
        "alliance ~ session + (1 | person)", data.assign(left=data["left"] * 1.0), **asked
    ).tidy()
    pd.testing.assert_frame_equal(whole, point)
