"""Every question to every family, ratings in steps among them: an answer that is checked."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import (
    CR2,
    compare_models,
    glmm,
    leave_one_out,
    likelihood_ratio_test,
    ordinal,
    parametric_bootstrap,
    profile,
    residual_checks,
)
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.multilevel.clusters import cluster_scores
from tests.simulation.family_coverage import FAMILIES, fitted, study

# Two searches of one likelihood end this near to one another, in -2 log-likelihood.
SEARCH = 2e-5
# Estimates of two searches, in standard errors.
ESTIMATE = 1e-3


@pytest.fixture(scope="module", params=FAMILIES)
def asked(request):
    """A family, its data and its model."""
    data = study(request.param, 7, 4).assign(unit=lambda d: "T " + d["unit"].astype(str))
    return request.param, data, fitted(request.param, data)


def again(family, formula, data):
    if family == "ordinal":
        return ordinal(formula, data)
    weights = "trials" if family == "beta-binomial" else None
    return glmm(formula, data, family=family, weights=weights)


def test_profiles_are_refits_with_the_coefficient_held(asked):
    family, data, model = asked
    value = model.beta["x"] + 1.5 * model.tidy().set_index("term").loc["x", "std_error"]
    rise = profile(model, terms=["x"]).rise("x", [value])[0]
    held = again(family, "y ~ own + offset(off) + (1 | unit)", data.assign(off=value * data["x"]))
    assert rise == pytest.approx(2.0 * (model.log_lik - held.log_lik), abs=SEARCH)
    # an SD of zero is the model without the term: it is the largest rise below the estimate
    sd = profile(model, terms=["unit|sd__(Intercept)"])
    estimate = sd.estimates.iloc[0]
    assert estimate == model.tidy(effects="ran_pars").loc[0, "estimate"]
    near, far = sd.rise("unit|sd__(Intercept)", [estimate + 0.2, estimate + 0.6])
    assert 0.0 < near < far


def test_likelihood_ratios_of_terms_are_those_of_models_without_them(asked):
    family, data, model = asked
    table = model.anova(test="likelihood-ratio").set_index("term")
    assert table["method"].tolist() == ["type III, likelihood ratio"] * 2
    for term, other in (("x", "own"), ("own", "x")):
        fewer = again(family, f"y ~ {other} + (1 | unit)", data)
        test = likelihood_ratio_test(model, fewer)
        assert table.loc[term, "statistic"] == pytest.approx(test.statistic, abs=SEARCH)
        assert table.loc[term, "p_value"] == pytest.approx(test.p_value, abs=1e-5)
    # both tests say about the same where the curvature is even
    wald = model.anova().set_index("term")["p_value"]
    assert np.abs(np.sqrt(wald) - np.sqrt(table["p_value"])).max() < 0.2
    aics = compare_models(model, fewer)["aic"]
    assert aics.is_monotonic_increasing


def test_scores_of_clusters_sum_to_zero_and_make_robust_errors(asked):
    _, _, model = asked
    scores, information = cluster_scores(model.fit, "unit")
    sizes = np.sqrt(np.diag(model.fit.minimum.covariance))
    assert np.abs(scores.sum(axis=0) * sizes).max() < ESTIMATE
    assert scores.shape == (7, len(sizes))
    assert (np.linalg.eigvalsh(information.sum(axis=0)) > 0).all()
    table = model.tidy(vcov=CR2("unit")).set_index("term")
    assert table["estimate"].equals(model.tidy().set_index("term")["estimate"])
    assert 1.0 < table.loc["own", "df"] <= 6.0
    assert table.loc["x", "df"] <= 7.0
    ratio = table.loc["x", "std_error"] / model.tidy().set_index("term").loc["x", "std_error"]
    assert 0.4 < ratio < 2.0
    with pytest.raises(DataError, match="no grouping factor|not a grouping factor"):
        model.tidy(vcov=CR2("units"))


def test_bootstrap_draws_from_the_family(asked):
    _, _, model = asked
    drawn = parametric_bootstrap(model, n_resamples=3, seed=2)
    terms = drawn.tidy()["term"].tolist()
    assert "x" in terms
    assert "unit|sd__(Intercept)" in terms
    assert (drawn.draws["x"] - model.beta["x"]).abs().max() < 6 * model.tidy()["std_error"].min()


def test_units_of_the_fit_and_new_ones(asked):
    family, data, model = asked
    rows = data.iloc[[0, 20]].assign(unit=["T 0", "T new"])
    known = {"level": "conditional", "new_units": "average"}
    if family == "ordinal":
        found = model.step_probabilities(rows, **known)
        wide = model.predict(rows, **known)
        assert wide.sum(axis=1).to_numpy() == pytest.approx(1.0)
        assert found["estimate"].to_numpy() == pytest.approx(wide.to_numpy().ravel())
        unseen = model.predict(rows).iloc[1].to_numpy()
        assert wide.iloc[1].to_numpy() == pytest.approx(unseen)
        twice = model.step_probabilities(rows.set_axis([7, 7]), **known)  # rows of one label
        assert twice["estimate"].to_numpy() == pytest.approx(found["estimate"].to_numpy())
    else:
        found = model.predict(rows, interval="confidence", **known)
        unseen = model.predict(rows)["estimate"].iloc[1]
        assert found["estimate"].iloc[1] == pytest.approx(unseen)
        typical = model.predict(rows, level="typical")["estimate"].iloc[1]
        assert (typical == pytest.approx(unseen)) == (model.singular)
    assert (found["conf_low"] < found["estimate"]).all()
    assert (found["estimate"] < found["conf_high"]).all()
    with pytest.raises(DataError, match="not seen"):
        model.predict(rows, level="conditional")


def test_leaving_a_therapist_out(asked):
    family, data, model = asked
    table = leave_one_out(model, "unit").tidy()
    row = table[(table["level"] == "T 3") & (table["term"] == "own")].iloc[0]
    direct = again(family, model.formula, data[data["unit"] != "T 3"]).tidy().set_index("term")
    near = ESTIMATE * direct.loc["own", "std_error"]
    assert row["estimate"] == pytest.approx(direct.loc["own", "estimate"], abs=near)
    assert table["level"].nunique() == 7


def test_simulated_residuals(asked):
    found = residual_checks(asked[2], n_resamples=20, seed=1)
    assert found.tidy()["p_value"].between(0.0, 1.0).all()


def test_one_question_at_a_time(asked):
    model = asked[2]
    with pytest.raises(ValueError, match="two inferences"):
        model.tidy(vcov=CR2("unit"), ci_method="profile")
    with pytest.raises(ValueError, match="seed="):
        model.tidy(ci_method="bootstrap")
    with pytest.raises(DataError, match="restricted likelihood"):
        profile(model, likelihood="REML")
    with pytest.raises(DataError, match="No parameter 'z'"):
        profile(model, terms=["z"])


def test_effects_by_threshold_say_what_cannot_be_asked():
    data = study("ordinal", 9, 4)
    model = ordinal("y ~ x + own + (1 | unit)", data, nominal="~ x")
    with pytest.raises(NotIdentifiedError, match="single thresholds"):
        model.anova(test="likelihood-ratio")
    held = profile(model, terms=["x at 1|2"])
    value = held.estimates["x at 1|2"]
    assert held.rise("x at 1|2", [value])[0] == pytest.approx(0.0, abs=1e-6)


def test_robust_errors_of_effects_on_single_thresholds():
    data = study("ordinal", 12, 4)
    last = data["y"].max()
    model = ordinal("y ~ x + own + (1 | unit)", data, nominal="~ own")
    found = model.tidy(vcov=CR2("unit")).set_index("term")
    # from the other end of the scale, and with the predictor's origin elsewhere
    turned = data.assign(y=last - data["y"], own=data["own"] + 3.0)
    again = ordinal("y ~ x + own + (1 | unit)", turned, nominal="~ own")
    other = again.tidy(vcov=CR2("unit"))
    for column, sign in (("estimate", -1.0), ("std_error", 1.0), ("df", 1.0)):
        mine = np.r_[found[column].iloc[:1], found[column].iloc[:0:-1]]
        assert other[column].to_numpy() == pytest.approx(sign * mine, rel=1e-3)
    # few therapists tell of their own effect, all rows of one within them
    assert (found.filter(like="own", axis=0)["df"] < 9.0).all()
    assert found.loc["x", "df"] > 9.0


def test_slopes_are_profiled_by_their_own_sd():
    data = study("poisson", 9, 4)
    data["y"] += (np.arange(len(data)) % 9 == 0) * (data["x"] > 0.5)
    model = glmm("y ~ x + (1 + x | unit)", data, family="poisson")
    terms = profile(model)
    assert terms.estimates.index.tolist() == [
        "unit|sd__(Intercept)", "unit|sd__x", "unit|cor__(Intercept).x", "(Intercept)", "x",
    ]  # fmt: skip
    without = glmm("y ~ x + (1 | unit)", data, family="poisson")
    rise = terms.rise("unit|sd__x", [0.0])[0]
    assert rise == pytest.approx(2.0 * (model.log_lik - without.log_lik), abs=SEARCH)


@pytest.mark.parametrize("family", ["poisson", "ordinal"])
def test_correlations_are_profiled(family):
    data = study(family, 9, 4)
    if family == "poisson":
        data["y"] += (np.arange(len(data)) % 9 == 0) * (data["x"] > 0.5)
    by = {} if family == "ordinal" else {"family": family}
    fit = ordinal if family == "ordinal" else glmm
    model = fit("y ~ x + (1 + x | unit)", data, **by)
    name = "unit|cor__(Intercept).x"
    held = profile(model, terms=[name, "unit|sd__x"])
    apart = fit("y ~ x + (1 | unit) + (0 + x | unit)", data, **by)
    lost = 2.0 * (model.log_lik - apart.log_lik)
    assert held.rise(name, [0.0])[0] == pytest.approx(lost, abs=SEARCH)
    assert held.rise(name, [held.estimates[name]])[0] == pytest.approx(0.0, abs=SEARCH)
    # where one of the SDs is zero, every correlation does
    none = held.rise("unit|sd__x", [0.0])[0]
    rises = held.rise(name, np.linspace(-1.0, 1.0, 5))
    assert (rises <= none + SEARCH).all()
    turn = int(rises.argmin())
    assert (np.diff(rises)[:turn] <= SEARCH).all()
    assert (np.diff(rises)[turn:] >= -SEARCH).all()


def test_an_undefined_correlation_has_no_profile():
    data = study("poisson", 9, 4).assign(y=lambda d: d["y"].mean().round() + d.index % 2)
    model = glmm("y ~ x + (1 + x | unit)", data, family="poisson")
    assert model.singular
    with pytest.raises(NotIdentifiedError, match="has no estimate, since the SD of one"):
        profile(model, terms=["unit|cor__(Intercept).x"])
    assert "unit|cor__(Intercept).x" not in profile(model).estimates


def test_limits_in_the_tidy_frame_are_those_of_the_profile():
    model = fitted("negative binomial", study("negative binomial", 9, 4))
    table = model.tidy(effects="dispersion", ci_method="profile")
    wanted = profile(model, terms=["dispersion|(Intercept)"]).tidy().iloc[0]
    ends = ["conf_low", "conf_high"]
    assert table.loc[0, ends].tolist() == wanted[ends].tolist()
    wald = model.tidy(effects="dispersion").loc[0, ends].tolist()
    assert table.loc[0, ends].tolist() == pytest.approx(wald, abs=0.5)
    assert pd.isna(model.tidy(effects="ran_pars")[ends]).all(axis=None)


def test_counts_near_poisson_have_no_upper_limit_of_theta():
    data = study("poisson", 7, 4)
    data["y"] = np.random.default_rng(1).poisson(2.0, len(data))
    data.loc[::9, "y"] += 1
    model = glmm("y ~ x + (1 | unit)", data, family="negative binomial")
    if model.fit.at_limit:
        with pytest.raises(NotIdentifiedError, match="a dispersion at its limit"):
            profile(model, terms=["dispersion|(Intercept)"])
        return
    row = profile(model, terms=["dispersion|(Intercept)"]).tidy().iloc[0]
    assert row["conf_low"] < row["estimate"]
    assert row["conf_high"] == np.inf
