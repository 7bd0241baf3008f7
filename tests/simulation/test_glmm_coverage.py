"""Are the intervals of generalized mixed models honest? Simulated studies with known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.multilevel import glmm

pytestmark = pytest.mark.slow

N_STUDIES = 300
TRUTH = {"session": 0.05, "alliance": -0.5}
THERAPIST_SD = 0.6
# 99.9% of counts of a 95% interval's hits in so many studies lie within.
FEWEST, MOST = stats.binom.ppf([0.0005, 0.9995], N_STUDIES, 0.95) / N_STUDIES


def _study(rng: np.random.Generator) -> pd.DataFrame:
    """Forty therapists, eight clients each, up to ten sessions; hazards on the cloglog scale."""
    therapist = np.repeat(np.arange(40), 8)
    u = THERAPIST_SD * rng.standard_normal(40)[therapist]
    alive, frames = np.arange(320), []
    for session in range(1, 11):
        alliance = rng.standard_normal(len(alive))
        eta = -2.6 + TRUTH["session"] * session + TRUTH["alliance"] * alliance + u[alive]
        event = rng.random(len(alive)) < -np.expm1(-np.exp(eta))
        frames.append(
            pd.DataFrame(
                {
                    "therapist": therapist[alive],
                    "session": session,
                    "alliance": alliance,
                    "event": event.astype(int),
                }
            )
        )
        alive = alive[~event]
    return pd.concat(frames, ignore_index=True)


def test_intervals_of_a_hazard_model_cover():
    rng = np.random.default_rng(20)
    hits = dict.fromkeys(TRUTH, 0)
    sds, sd_hits = [], 0
    for _ in range(N_STUDIES):
        model = glmm("event ~ session + alliance + (1 | therapist)", _study(rng), link="cloglog")
        table = model.tidy().set_index("term")
        for name, truth in TRUTH.items():
            row = table.loc[name]
            hits[name] += row.conf_low <= truth <= row.conf_high
        sds.append(model.tidy(effects="ran_pars").estimate[0])
        ratio = model.median_ratios().iloc[0]
        true_ratio = np.exp(np.sqrt(2) * THERAPIST_SD * stats.norm.ppf(0.75))
        sd_hits += ratio.conf_low <= true_ratio <= ratio.conf_high
    shares = {name: count / N_STUDIES for name, count in hits.items()}
    assert all(FEWEST <= share <= MOST for share in shares.values()), shares
    # a profile of few units is a little narrow
    assert FEWEST - 0.02 <= sd_hits / N_STUDIES <= MOST, sd_hits
    assert np.mean(sds) == pytest.approx(THERAPIST_SD, abs=0.04)


def test_laplace_misplaces_the_sd_of_small_units_and_quadrature_does_not():
    # two rows per unit: Laplace's known weakness (Joe 2008, doi:10.1016/j.csda.2008.05.002)
    rng = np.random.default_rng(21)
    laplace, quadrature = [], []
    for _ in range(20):
        unit = np.repeat(np.arange(1500), 2)
        eta = -0.5 + 1.5 * rng.standard_normal(1500)[unit]
        event = (rng.random(3000) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
        data = pd.DataFrame({"unit": unit, "event": event})
        for nodes, found in ((1, laplace), (15, quadrature)):
            model = glmm("event ~ 1 + (1 | unit)", data, nodes=nodes)
            found.append(model.tidy(effects="ran_pars").estimate[0])
    assert np.mean(quadrature) == pytest.approx(1.5, abs=0.1)
    assert np.mean(laplace) < 1.3


def test_a_group_without_events_is_refused_every_time():
    rng = np.random.default_rng(22)
    for _ in range(20):
        data = _study(rng)
        data["framework"] = np.where(data["therapist"] < 4, "informed", "usual")
        data.loc[data.framework == "informed", "event"] = 0
        with pytest.raises(NotIdentifiedError, match=r"framework = informed \(no event in"):
            glmm("event ~ session + framework + (1 | therapist)", data, link="cloglog")
