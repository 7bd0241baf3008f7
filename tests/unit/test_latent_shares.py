"""Shares of variance of yes/no outcomes and counts: closed forms, simulation, and the door."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import glmm, report, variance_partition
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.multilevel.after.latent_shares import LatentPartition

EXACT = 1e-8
# 200 x 400 x 400 draws a fixed part
DRAWN = 0.01
ENDS = ("conf_low", "conf_high")


def _rows(seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    therapist, family = np.arange(1200) // 40, np.arange(1200) // 5
    x = rng.normal(size=1200)
    eta = 0.4 * x + 0.7 * rng.normal(size=30)[therapist] + 0.6 * rng.normal(size=240)[family]
    return pd.DataFrame(
        {
            "x": x,
            "therapist": [f"T {i}" for i in therapist],
            "family": [f"F {i}" for i in family],
            "well": (rng.uniform(size=1200) < 1.0 / (1.0 + np.exp(-eta))).astype(int),
            "count": rng.poisson(np.exp(eta)),
        }
    )


DATA = _rows()


def _partition(**options: object) -> LatentPartition:
    model = glmm("well ~ x + (1 | therapist/family)", DATA)
    return variance_partition(model, **options)


def test_latent_shares_are_of_the_variance_that_the_link_implies() -> None:
    found = _partition()
    v = found.variances
    table = found.tidy().query("scale == 'latent'").set_index("group")["estimate"]
    for name in v.index:
        assert table[name] == pytest.approx(v[name] / (v.sum() + np.pi**2 / 3.0), rel=EXACT)
    assert table.sum() == pytest.approx(1.0, rel=EXACT)


def test_shares_of_the_outcome_by_simulation() -> None:
    """Goldstein's method of simulation, at the fixed parts of the rows."""
    found, rng = _partition(), np.random.default_rng(1)
    above, below = (found.variances[n] for n in ("therapist", "therapist:family"))
    parts = np.zeros(3)
    for eta in np.quantile(found.model.fit.fixed_part, (np.arange(200) + 0.5) / 200):
        u = rng.normal(0.0, np.sqrt(above), 400)[:, None]
        p = 1.0 / (1.0 + np.exp(-(eta + u + rng.normal(0.0, np.sqrt(below), (400, 400)))))
        parts += p.mean(axis=1).var(), p.var(axis=1).mean(), (p * (1.0 - p)).mean()
    shares = parts / parts.sum()
    assert found.observed["therapist"] == pytest.approx(shares[0], abs=DRAWN)
    assert found.observed["therapist:family"] == pytest.approx(shares[1], abs=DRAWN)


def test_shares_of_counts_have_a_closed_form() -> None:
    model = glmm("count ~ 1 + (1 | therapist)", DATA, family="poisson")
    found = variance_partition(model)
    v, b = float(found.variances.iloc[0]), float(model.beta.iloc[0])
    between = (np.exp(v) - 1.0) * np.exp(2.0 * b + v)
    expected = between / (between + np.exp(b + v / 2.0))
    assert found.observed.iloc[0] == pytest.approx(expected, rel=1e-6)


def test_a_profile_turns_the_limits_of_the_sd() -> None:
    model = glmm("well ~ x + (1 | therapist)", DATA)
    found = variance_partition(model, ci_method="profile").tidy().iloc[0]
    ratio = model.median_ratios(ci_method="profile").iloc[0]
    q = np.sqrt(2.0) * 0.6744897501960817
    for end in ("conf_low", "conf_high"):
        v = (np.log(ratio[end]) / q) ** 2
        assert found[end] == pytest.approx(v / (v + np.pi**2 / 3.0), rel=1e-6)
    assert found["conf_low"] < found["estimate"] < found["conf_high"]


def test_wald_limits_of_one_level_are_those_of_its_log_sd() -> None:
    model = glmm("well ~ x + (1 | therapist)", DATA)
    found = variance_partition(model, ci_method="wald").tidy().iloc[0]
    ratio = model.median_ratios(ci_method="wald").iloc[0]
    q = np.sqrt(2.0) * 0.6744897501960817
    v = (np.log(ratio["conf_low"]) / q) ** 2
    assert found["conf_low"] == pytest.approx(v / (v + np.pi**2 / 3.0), rel=1e-6)


def test_a_level_at_zero_has_no_share_and_the_others_keep_limits() -> None:
    data = DATA.assign(therapist=np.resize([f"T {i}" for i in range(7)], len(DATA)))
    found = variance_partition(
        glmm("well ~ x + (1 | therapist) + (1 | family)", data), ci_method="wald"
    )
    table = found.tidy().query("scale == 'latent'").set_index("group")
    if found.variances["therapist"] == 0.0:
        assert np.isnan(table.loc["therapist", "conf_low"])
    assert np.isfinite(table.loc["family", "conf_low"])


def test_it_speaks_and_refuses() -> None:
    assert "latent" in report(_partition())
    with pytest.raises(NotIdentifiedError, match="ci_method='wald'"):
        _partition(ci_method="profile")
    with pytest.raises(ValueError, match="ci_method"):
        _partition(ci_method="bootstrap")
    with pytest.raises(DataError, match="random slope"):
        variance_partition(glmm("well ~ x + (1 + x | therapist)", DATA))
    with pytest.raises(DataError, match="no variance of this model depends"):
        _partition(at={"x": 1})


def test_limits_of_the_outcomes_share_are_by_the_slope_of_its_closed_form() -> None:
    """Counts: ``logit(share) = log((exp(v) - 1) exp(b + v / 2))``, b taken as known."""
    model = glmm("count ~ 1 + (1 | therapist)", DATA, family="poisson")
    row = variance_partition(model, ci_method="wald").tidy().query("scale == 'observation'").iloc[0]
    v = float(variance_partition(model).variances.iloc[0])
    ratio = model.median_ratios(ci_method="wald").iloc[0]
    sds = [np.log(ratio[end]) / (np.sqrt(2.0) * 0.6744897501960817) for end in ENDS]
    error = 2.0 * np.log(sds[1] / sds[0]) / (2.0 * 1.959963984540054)  # of log v
    slope = v * np.exp(v) / (np.exp(v) - 1.0) + v / 2.0
    share = row["estimate"]
    for end, sign in zip(ENDS, (-1.0, 1.0), strict=True):
        logit = np.log(share / (1.0 - share)) + sign * 1.959963984540054 * slope * error
        assert row[end] == pytest.approx(1.0 / (1.0 + np.exp(-logit)), rel=1e-3)


def test_a_profile_of_the_outcomes_share_is_that_of_its_variance() -> None:
    model = glmm("count ~ 1 + (1 | therapist)", DATA, family="poisson")
    row = variance_partition(model, ci_method="profile").tidy().iloc[2]
    ratio = model.median_ratios(ci_method="profile").iloc[0]
    b = float(model.beta.iloc[0])
    for end in ENDS:
        v = (np.log(ratio[end]) / (np.sqrt(2.0) * 0.6744897501960817)) ** 2
        between = (np.exp(v) - 1.0) * np.exp(2.0 * b + v)
        assert row[end] == pytest.approx(between / (between + np.exp(b + v / 2.0)), rel=1e-6)
