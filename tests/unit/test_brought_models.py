"""A model fitted by statsmodels or lifelines gives the tables that our own fit gives."""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from lifelines import CoxPHFitter, KaplanMeierFitter, WeibullAFTFitter
from statsmodels.miscmodels.ordinal_model import OrderedModel

from alliance_stats import (
    comparisons,
    contrasts,
    cox_ph,
    estimated_means,
    from_lifelines,
    from_statsmodels,
    johnson_neyman,
    lmm,
    r_squared,
    regression,
    report,
    simple_slopes,
)
from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.tables import model_table

FORMULA = "alliance * experience + C(role)"
EXACT = 1e-8  # least squares on both sides
SEARCHED = 1e-5  # statsmodels' Newton steps end at 1e-8 of the mean log-likelihood
WANDERED = 2e-3  # its BFGS on thresholds and its mixed model stop earlier


def _rows() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 240
    data = pd.DataFrame(
        {
            "alliance": rng.normal(5.0, 1.0, n).round(2),
            "experience": rng.gamma(2.0, 4.0, n).round(1),
            "role": rng.choice(["child", "mother", "father"], n),
            "therapist": np.repeat([f"T {i}" for i in range(12)], 20),
        }
    )
    eta = -0.6 * (data["alliance"] - 5.0) + 0.03 * data["experience"]
    data["symptoms"] = (40.0 + 4.0 * eta + rng.normal(0.0, 4.0, n)).round(2)
    data["left"] = (rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    data["missed"] = rng.poisson(np.exp(0.4 + 0.4 * eta))
    data["grade"] = np.digitize(data["symptoms"], [36.0, 40.0, 44.0])
    data["weeks"] = rng.exponential(20.0 * np.exp(-0.3 * eta)).round(2) + 0.1
    data["w"] = rng.uniform(0.5, 2.0, n).round(2)
    return data


DATA = _rows()
GAPS = DATA.assign(alliance=DATA["alliance"].where(DATA.index % 17 != 3))
PAIRS: dict[str, tuple[Callable[[], object], Callable[[], object], float]] = {
    "linear": (
        lambda: smf.ols(f"symptoms ~ {FORMULA}", DATA).fit(),
        lambda: regression(f"symptoms ~ {FORMULA}", DATA),
        EXACT,
    ),
    "with gaps": (
        lambda: smf.ols(f"symptoms ~ {FORMULA}", GAPS).fit(),
        lambda: regression(f"symptoms ~ {FORMULA}", GAPS),
        EXACT,
    ),
    "weighted": (
        lambda: smf.wls(f"symptoms ~ {FORMULA}", DATA, weights=DATA["w"]).fit(),
        lambda: regression(f"symptoms ~ {FORMULA}", DATA, weights="w"),
        EXACT,
    ),
    "logit": (
        lambda: smf.logit(f"left ~ {FORMULA}", DATA).fit(disp=0),
        lambda: regression(f"left ~ {FORMULA}", DATA, family="logistic"),
        SEARCHED,
    ),
    "binomial": (
        lambda: smf.glm(f"left ~ {FORMULA}", DATA, family=sm.families.Binomial()).fit(tol=1e-12),
        lambda: regression(f"left ~ {FORMULA}", DATA, family="logistic"),
        SEARCHED,
    ),
    "poisson": (
        lambda: smf.poisson(f"missed ~ {FORMULA}", DATA).fit(disp=0),
        lambda: regression(f"missed ~ {FORMULA}", DATA, family="poisson"),
        SEARCHED,
    ),
}


def _same(one: pd.DataFrame, other: pd.DataFrame, rtol: float) -> None:
    # a p-value moves by the square of z times the relative error of z
    pd.testing.assert_frame_equal(one, other, rtol=100.0 * rtol, atol=1e-7)


@pytest.mark.parametrize("case", PAIRS)
def test_a_statsmodels_fit_and_our_own_give_the_same_tables(case: str) -> None:
    theirs, ours, rtol = PAIRS[case]
    one, other = from_statsmodels(theirs()), ours()
    _same(one.tidy(), other.tidy(), rtol)
    assert one.rows.n_used == other.rows.n_used
    assert one.rows.n_in == other.rows.n_in
    for ask in (
        lambda m: estimated_means(m, "role"),
        lambda m: contrasts(estimated_means(m, "role"), adjust="holm"),
        lambda m: simple_slopes(m, "alliance", by="experience"),
        lambda m: johnson_neyman(m, "alliance", moderator="experience"),
        lambda m: comparisons(m, "role"),
    ):
        _same(ask(one).tidy(), ask(other).tidy(), rtol)
    tables = [model_table(m, label="tbl-m", caption="Models").frame for m in (one, other)]
    body = [table[~table["Term"].str.contains("R²|AIC|likelihood")] for table in tables]
    pd.testing.assert_frame_equal(*body)
    new = DATA.head(5)
    assert one.predict(new)["estimate"].to_numpy() == pytest.approx(
        other.predict(new)["estimate"].to_numpy(), rel=rtol
    )


def test_a_linear_model_has_the_same_r_squared() -> None:
    theirs, ours, _ = PAIRS["linear"]
    one, other = r_squared(from_statsmodels(theirs())), r_squared(ours())
    assert one.tidy()["estimate"].to_numpy() == pytest.approx(
        other.tidy()["estimate"].to_numpy(), rel=EXACT
    )


def test_robust_errors_stay_those_of_statsmodels() -> None:
    fit = smf.ols(f"symptoms ~ {FORMULA}", DATA).fit(
        cov_type="cluster", cov_kwds={"groups": DATA["therapist"]}, use_t=True
    )
    table = from_statsmodels(fit).tidy().set_index("term")
    for name in ("alliance", "experience"):
        assert table.loc[name, "std_error"] == pytest.approx(fit.bse[name], rel=EXACT)
        assert table.loc[name, "p_value"] == pytest.approx(fit.pvalues[name], rel=1e-6)
        assert table.loc[name, "df"] == 11.0  # clusters less one
    assert "cluster standard errors" in from_statsmodels(fit).method


def test_another_coding_is_turned_into_ours_for_questions() -> None:
    """Sum contrasts of patsy under a name that is not read as such span the same columns."""
    fit = smf.ols("symptoms ~ alliance + C(role, Sum)", DATA).fit()
    own = regression("symptoms ~ alliance + C(role, Sum)", DATA)
    _same(
        estimated_means(from_statsmodels(fit), "role").tidy(),
        estimated_means(own, "role").tidy(),
        EXACT,
    )


def test_ordered_categories_and_thresholds() -> None:
    fit = OrderedModel.from_formula(f"grade ~ {FORMULA}", DATA, distr="logit").fit(
        disp=0, method="bfgs", maxiter=2000
    )
    one, own = from_statsmodels(fit), regression(f"grade ~ {FORMULA}", DATA, family="ordinal")
    table = own.tidy()
    coefficients = table[table["effect"] == "coefficient"].drop(columns="effect")
    pd.testing.assert_frame_equal(one.tidy(), coefficients, rtol=WANDERED, atol=1e-4)
    thresholds = table[table["effect"] == "threshold"]
    for column in ("estimate", "std_error"):
        assert one.others[column].to_numpy() == pytest.approx(
            thresholds[column].to_numpy(), rel=WANDERED
        )
    means = [estimated_means(m, "role").tidy() for m in (one, own)]
    pd.testing.assert_frame_equal(*means, rtol=WANDERED)


def test_a_mixed_model_is_asked_as_lmm_with_normal_quantiles() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels' own on its search
        fit = smf.mixedlm(f"symptoms ~ {FORMULA}", DATA, groups="therapist").fit()
    one, own = from_statsmodels(fit), lmm(f"symptoms ~ {FORMULA} + (1 | therapist)", DATA)
    means = estimated_means(one, "role").tidy(), estimated_means(own, "role", df_method="normal")
    assert means[0]["estimate"].to_numpy() == pytest.approx(
        means[1].tidy()["estimate"].to_numpy(), rel=WANDERED
    )
    with pytest.raises(NotIdentifiedError, match="Fit it with regression, lmm"):
        r_squared(one)


def test_what_cannot_be_asked_says_why() -> None:
    arrays = from_statsmodels(sm.OLS(DATA["symptoms"], sm.add_constant(DATA[["alliance"]])).fit())
    assert list(arrays.tidy()["term"]) == ["(Intercept)", "alliance"]
    with pytest.raises(NotIdentifiedError, match="fitted from arrays"):
        estimated_means(arrays, [])
    hazards = from_statsmodels(sm.PHReg.from_formula("weeks ~ alliance", DATA).fit())
    with pytest.raises(NotIdentifiedError, match="no baseline level"):
        simple_slopes(hazards, "alliance")
    offset = smf.glm(
        "missed ~ alliance", DATA, family=sm.families.Poisson(), offset=np.log(DATA["w"])
    ).fit()
    with pytest.raises(NotIdentifiedError, match="offset"):
        comparisons(from_statsmodels(offset), "alliance")
    several = sm.MNLogit(DATA["grade"], sm.add_constant(DATA[["alliance"]])).fit(disp=0)
    with pytest.raises(DataError, match="several equations"):
        from_statsmodels(several)
    with pytest.raises(WrongObjectError, match=r"what \.fit"):
        from_statsmodels(DATA)


def strange(values: pd.Series) -> pd.Series:
    return np.sqrt(values + 1.0)


def test_a_transform_that_we_do_not_know_leaves_the_tables() -> None:
    model = from_statsmodels(smf.ols("symptoms ~ alliance + strange(experience)", DATA).fit())
    assert len(model.tidy()) == 3
    assert "alliance" in report(model)
    with pytest.raises(NotIdentifiedError, match="its formula is not read here"):
        simple_slopes(model, "alliance")


def test_an_unconverged_fit_says_so_first() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = smf.logit(f"left ~ {FORMULA}", DATA).fit(disp=0, maxiter=1)
    assert from_statsmodels(fit).summary().startswith("NOT CONVERGED")


def test_lifelines_cox_is_ours() -> None:
    data = DATA.assign(event=1)
    fitter = CoxPHFitter().fit(data[["weeks", "event", "alliance", "experience"]], "weeks", "event")
    one = from_lifelines(fitter).tidy()
    own = cox_ph("alliance + experience", data, time="weeks", event="event").tidy()
    for column in ("estimate", "std_error"):
        assert one[column].to_numpy() == pytest.approx(own[column].to_numpy(), rel=1e-4)
    with pytest.raises(NotIdentifiedError, match="without a level"):
        estimated_means(from_lifelines(fitter), "alliance")


def test_lifelines_accelerated_times_and_what_is_no_regression() -> None:
    data = DATA.assign(event=1)[["weeks", "event", "alliance"]]
    fitter = WeibullAFTFitter().fit(data, "weeks", "event")
    table = from_lifelines(fitter).ratios()
    assert table["estimate"].iloc[0] == pytest.approx(np.exp(fitter.params_["lambda_"]["alliance"]))
    with pytest.raises(DataError, match="no coefficients"):
        from_lifelines(KaplanMeierFitter().fit(data["weeks"], data["event"]))
    with pytest.raises(WrongObjectError, match="takes a fitter"):
        from_lifelines(data)
