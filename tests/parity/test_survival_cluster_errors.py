"""Standard errors over few clusters: clubSandwich for discrete hazards; Cox by sums of its own."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.survival import cox_ph, discrete_hazard
from alliance_stats.survival.cox.partial_likelihood import cluster_information
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_cluster_errors")
ROWS = pd.DataFrame(REFERENCE["rows"])
COLUMNS = {"session": "session", "event": "event", "unit": "id", "random": None}
# Newton's method on both sides; R's errors are from the weights of its last step but one.
TOLERANCE = 1e-6
TERMS = ["x", "z", "g[T.b]", "g[T.c]"]


def fitted(link: str, vcov: str):
    return discrete_hazard("x + z + g", ROWS, **COLUMNS, link=link, cluster="therapist", vcov=vcov)


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_robust_errors_are_those_of_sandwich(link: str) -> None:
    found = fitted(link, "robust").tidy().set_index("term").loc[TERMS]
    assert_allclose(found["std_error"], REFERENCE[link]["robust"][-4:], rtol=TOLERANCE)
    assert np.isinf(found["df"]).all()


@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_bias_reduced_errors_are_those_of_clubsandwich(link: str) -> None:
    fit = fitted(link, "CR2")
    found = fit.tidy().set_index("term").loc[TERMS]
    assert_allclose(found["std_error"], REFERENCE[link]["cr2"][-4:], rtol=TOLERANCE)
    assert_allclose(found["df"], REFERENCE[link]["df"][-4:], rtol=TOLERANCE)
    joint = fit.anova().set_index("term").loc["g"]
    assert_allclose(joint["statistic"], REFERENCE[link]["f"], rtol=TOLERANCE)
    assert_allclose(joint["df2"], REFERENCE[link]["df2"], rtol=TOLERANCE)
    assert "bias-reduced (CR2)" in fit.summary()
    assert fit.glance()["n_clusters"].item() == 9


UNITS = ROWS.groupby("id", as_index=False).last()
WHEN = {"time": "session", "event": "event", "cluster": "therapist"}


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cluster_informations_add_up_and_are_what_they_say(ties: str) -> None:
    """Row by row, time by time, for Breslow's ties; Efron's are brought to the same total."""

    fit = cox_ph("x + z", UNITS, **WHEN, ties=ties)
    X, sets, at = fit.X, fit.sets, fit.fit.at
    own = fit.intervals.cluster[sets.order]
    found = cluster_information(X, at, sets, own, 9)
    if ties == "efron":
        size = np.abs(fit.fit.information).max()
        assert_allclose(found.sum(axis=0), fit.fit.information, atol=0.12 * size)
        return
    assert_allclose(found.sum(axis=0), fit.fit.information, rtol=1e-9)
    time = UNITS["session"].to_numpy()[sets.order]
    weight = np.exp(fit.fit.beta @ X)
    expected = np.zeros((9, 2, 2))
    for t, d in zip(sets.time, sets.n_event, strict=True):
        risk = time >= t
        total = weight[risk].sum()
        centred = X - ((X * weight)[:, risk].sum(axis=1) / total)[:, None]
        for i in np.flatnonzero(risk):
            expected[own[i]] += weight[i] * d / total * np.outer(centred[:, i], centred[:, i])
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_with_many_clusters_the_reduction_is_nothing() -> None:
    """Each row a cluster of 1,500: its pull on the estimate is of order one in so many."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=1500)
    data = pd.DataFrame({"x": x, "session": rng.exponential(np.exp(-0.3 * x)) + 0.01})
    data["event"], data["therapist"] = rng.integers(0, 2, 1500), np.arange(1500)
    robust = cox_ph("x", data, **WHEN).tidy().iloc[0]
    reduced = cox_ph("x", data, **WHEN, vcov="CR2").tidy().iloc[0]
    assert_allclose(reduced["std_error"], robust["std_error"], rtol=0.01)
    assert reduced["df"] > 200
    few = cox_ph("z", UNITS, **WHEN).tidy().iloc[0]
    wider = cox_ph("z", UNITS, **WHEN, vcov="CR2").tidy().iloc[0]
    assert wider["std_error"] > 1.05 * few["std_error"]
    assert wider["df"] < 8.0


def test_one_term_is_tested_by_the_square_of_its_t() -> None:
    fit = cox_ph("x + z", UNITS, **WHEN, vcov="CR2")
    found, tidy = fit.anova().set_index("term"), fit.tidy().set_index("term")
    assert_allclose(found.loc["z", "statistic"], tidy.loc["z", "statistic"] ** 2, rtol=1e-9)
    assert_allclose(found.loc["z", "p_value"], tidy.loc["z", "p_value"], rtol=1e-6)


def test_it_is_asked_for_with_clusters_only() -> None:
    with pytest.raises(ValueError, match="give cluster= as well"):
        cox_ph("x", UNITS, time="session", event="event", vcov="CR2")
    with pytest.raises(ValueError, match="give cluster= as well"):
        discrete_hazard("x", ROWS, **COLUMNS, vcov="CR2")
    with pytest.raises(ValueError, match="give random=None with it"):
        discrete_hazard("x", ROWS, session="session", event="event", unit="id", cluster="therapist")
    with pytest.raises(ValueError, match="vcov must be one of 'robust', 'CR2'"):
        cox_ph("x", UNITS, **WHEN, vcov="HC3")
