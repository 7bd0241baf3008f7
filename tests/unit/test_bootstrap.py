"""The parametric bootstrap: seeded, the same for any workers, and what its numbers are."""

import joblib
import numpy as np
import pytest

from alliance_stats.multilevel import lmm
from alliance_stats.multilevel.bootstrap import parametric_bootstrap
from alliance_stats.multilevel.variance_partition import variance_partition
from tests.parity.reference import r_data

# Mean and SD of 300 draws against the model's own estimate and standard error: 4 Monte Carlo SEs.
MONTE_CARLO = 4.0


@pytest.fixture(scope="module")
def model():
    return lmm("strength ~ 1 + (1 | batch/cask)", r_data("lme4", "Pastes"))


@pytest.fixture(scope="module")
def draws(model):
    return parametric_bootstrap(model, n=60, seed=7)


def test_the_same_draws_for_any_number_of_workers(model, draws):
    for workers in (1, 2):
        again = parametric_bootstrap(model, n=60, seed=7, n_jobs=workers)
        np.testing.assert_array_equal(again.draws, draws.draws)
    other = parametric_bootstrap(model, n=60, seed=8)
    assert not np.array_equal(other.draws, draws.draws)


def test_the_same_draws_under_another_backend(model, draws):
    with joblib.parallel_config(backend="threading", n_jobs=2):
        again = parametric_bootstrap(model, n=60, seed=7)
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
        again = parametric_bootstrap(model, n=60, seed=7)
    np.testing.assert_array_equal(again.draws, draws.draws)


def test_the_first_draws_do_not_depend_on_how_many_follow(model, draws):
    more = parametric_bootstrap(model, n=80, seed=7)
    np.testing.assert_array_equal(more.draws.iloc[:60], draws.draws)


def test_coefficients_spread_by_their_standard_error(model):
    found = parametric_bootstrap(model, n=300, seed=3).tidy().set_index("term")
    se = model.tidy()["std_error"].iloc[0]
    assert abs(found.loc["(Intercept)", "bias"]) < MONTE_CARLO * se / np.sqrt(300)
    assert found.loc["(Intercept)", "std_error"] == pytest.approx(
        se, rel=MONTE_CARLO / np.sqrt(2 * 300)
    )
    assert list(found.index[-1:]) == ["Residual|sd__Observation"]


def test_a_statistic_of_ones_own(model):
    found = parametric_bootstrap(model, lambda m: {"sigma": m.sigma}, n=5, seed=1)
    assert list(found.draws.columns) == ["sigma"]
    assert found.observed["sigma"] == model.sigma
    assert found.glance()["n_draws"].iloc[0] == 5


def test_variance_partition_is_the_share_of_each_level(model):
    parts = variance_partition(model)
    batch, cask = (c.iloc[0, 0] for c in model.covariances().values())
    total = batch + cask + model.sigma**2
    np.testing.assert_allclose(
        parts.tidy()["estimate"], [batch / total, cask / total, model.sigma**2 / total], rtol=1e-12
    )
    assert parts.tidy()["conf_low"].isna().all()
    with_interval = variance_partition(model, ci_method="bootstrap", n=60, seed=7).tidy()
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
