"""The parametric bootstrap: seeded, the same for any workers, and what its numbers are."""

import joblib
import numpy as np
import pandas as pd
import pytest

from alliance_stats.errors import AllianceStatsWarning, NotIdentifiedError
from alliance_stats.multilevel import (
    Bootstrap,
    lmm,
    parametric_bootstrap,
    refitted_intervals,
    variance_partition,
)
from tests.parity.reference import r_data

# Mean and SD of 300 draws against the model's own estimate and standard error: 4 Monte Carlo SEs.
MONTE_CARLO = 4.0


@pytest.fixture(scope="module")
def model():
    return lmm("strength ~ 1 + (1 | batch/cask)", r_data("lme4", "Pastes"))


@pytest.fixture(scope="module")
def draws(model):
    return parametric_bootstrap(model, n_resamples=60, seed=7)


def test_the_same_draws_for_any_number_of_workers(model, draws):
    for workers in (1, 2):
        again = parametric_bootstrap(model, n_resamples=60, seed=7, workers=workers)
        np.testing.assert_array_equal(again.draws, draws.draws)
    other = parametric_bootstrap(model, n_resamples=60, seed=8)
    assert not np.array_equal(other.draws, draws.draws)


def test_the_same_draws_under_another_backend(model, draws):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        again = parametric_bootstrap(model, n_resamples=60, seed=7)
    np.testing.assert_array_equal(again.draws, draws.draws)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_same_draws_on_a_local_dask_cluster(model, draws):
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        again = parametric_bootstrap(model, n_resamples=60, seed=7)
    np.testing.assert_array_equal(again.draws, draws.draws)


def test_the_first_draws_do_not_depend_on_how_many_follow(model, draws):
    more = parametric_bootstrap(model, n_resamples=80, seed=7)
    np.testing.assert_array_equal(more.draws.iloc[:60], draws.draws)


def test_coefficients_spread_by_their_standard_error(model):
    found = parametric_bootstrap(model, n_resamples=300, seed=3).tidy().set_index("term")
    se = model.tidy()["std_error"].iloc[0]
    assert abs(found.loc["(Intercept)", "bias"]) < MONTE_CARLO * se / np.sqrt(300)
    assert found.loc["(Intercept)", "std_error"] == pytest.approx(
        se, rel=MONTE_CARLO / np.sqrt(2 * 300)
    )
    assert list(found.index[-1:]) == ["Residual|sd__Observation"]


def test_a_statistic_of_ones_own(model):
    found = parametric_bootstrap(model, lambda m: {"sigma": m.sigma}, n_resamples=5, seed=1)
    assert list(found.draws.columns) == ["sigma"]
    assert found.observed["sigma"] == model.sigma
    assert found.glance()["n_resamples"].iloc[0] == 5


def test_variance_partition_is_the_share_of_each_level(model):
    parts = variance_partition(model)
    batch, cask = (c.iloc[0, 0] for c in model.covariances().values())
    total = batch + cask + model.sigma**2
    np.testing.assert_allclose(
        parts.tidy()["estimate"], [batch / total, cask / total, model.sigma**2 / total], rtol=1e-12
    )
    assert parts.tidy()["conf_low"].isna().all()
    with_interval = variance_partition(model, ci_method="bootstrap", n_resamples=60, seed=7).tidy()
    assert (with_interval["conf_low"] <= with_interval["estimate"]).all()
    assert (with_interval["estimate"] <= with_interval["conf_high"]).all()
    with pytest.raises(ValueError, match="needs seed="):
        variance_partition(model, ci_method="bootstrap")


def test_variance_partition_asks_for_the_covariate_of_a_random_slope():
    data = r_data("lme4", "sleepstudy")
    model = lmm("Reaction ~ Days + (1 + Days | Subject)", data)
    with pytest.raises(ValueError, match="depends on 'Days', which has a random slope"):
        variance_partition(model)
    D = model.covariances()["Subject"].to_numpy()
    z = np.array([1.0, 4.0])
    found = variance_partition(model, at={"Days": 4.0}).variances
    assert found["Subject"] == pytest.approx(z @ D @ z, rel=1e-12)


def test_refits_that_failed_and_numbers_that_do_not_exist_are_counted(model):
    draws = pd.DataFrame({"sigma": [1.0, 2.0, 3.0, 4.0], "cor": [0.5, np.nan, 0.1, np.nan]})
    observed = pd.Series({"sigma": 2.0, "cor": 0.3})
    found = Bootstrap(observed, draws, 2, 1, model.rows)
    table = found.tidy().set_index("term")
    assert table["n_resamples"].to_dict() == {"sigma": 4, "cor": 2}
    note = (
        "undefined in 2 of 4 draws (50.0%) (a variance is zero there, or the refit failed); "
        "the interval is over the others"
    )
    assert table["note"].to_dict() == {"sigma": "", "cor": note}
    assert found.glance().iloc[0].to_dict() == {
        "n_resamples": 4, "n_singular": 2, "n_unconverged": 1,
    }  # fmt: skip
    text = found.summary()
    assert text.startswith("NOT CONVERGED: 1 of 4 refits (25.0%) stopped before the optimum")
    assert f"cor: {note}." in text
    assert "4 simulated data sets, 2 of 4 refits (50.0%) on a boundary" in text


def test_a_frame_of_bootstrap_limits_warns_of_undefined_draws(monkeypatch):
    monkeypatch.setattr(refitted_intervals, "DRAWS", 40)
    data = r_data("lme4", "sleepstudy")
    rng = np.random.default_rng(4)
    flat = data.assign(y=rng.normal(size=len(data)) + 0.25 * rng.normal(size=18).repeat(10))
    model = lmm("y ~ Days + (1 + Days | Subject)", flat)
    draws = parametric_bootstrap(model, n_resamples=40, seed=2)
    missing = draws.draws["Subject|cor__(Intercept).Days"].isna().sum()
    assert missing > 0  # the seed was chosen so
    with pytest.warns(AllianceStatsWarning, match=rf"undefined in {missing} of 40 draws"):
        model.tidy(effects="ran_pars", ci_method="bootstrap", seed=2)


def test_shares_of_weighted_rows_say_at_which_weight(model):
    data = model.design.frame.assign(w=np.linspace(1.0, 2.0, model.nobs))
    plain, weighted = (
        variance_partition(lmm("strength ~ 1 + (1 | batch/cask)", data, weights=w))
        for w in (None, "w")
    )
    assert (plain.tidy()["note"] == "").all()
    assert "weight" not in plain.summary()
    assert weighted.tidy()["note"].str.startswith("shares are at weight 1").all()
    said = "Shares are at weight 1: a row of weight w has the residual variance over w."
    assert said in weighted.summary()


def test_shares_are_profiled_in_models_of_intercepts_only():
    model = lmm("Reaction ~ Days + (1 + Days | Subject)", r_data("lme4", "sleepstudy"))
    with pytest.raises(NotIdentifiedError, match="models of random intercepts"):
        variance_partition(model, at={"Days": 4.0}, ci_method="profile")
    with pytest.raises(ValueError, match="ci_method must be one of 'profile', 'bootstrap'"):
        variance_partition(model, at={"Days": 4.0}, ci_method="profil")


def test_a_dispersion_at_its_limit_in_some_draws_has_limits_and_no_sd(model):
    draws = pd.DataFrame({"phi": [1.0, 2.0, np.inf, 3.0, np.inf], "x": [1.0, 2.0, 3.0, 4.0, 5.0]})
    found = Bootstrap(pd.Series({"phi": 2.0, "x": 3.0}), draws, 0, 0, model.rows)
    phi, x = (row for _, row in found.tidy(conf_level=0.5).iterrows())
    assert (phi["conf_low"], phi["conf_high"], x["conf_low"], x["conf_high"]) == (2.0, np.inf, 2, 4)
    assert np.isnan(phi["std_error"])
