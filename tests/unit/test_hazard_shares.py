"""Shares of variance and ranks of discrete hazards: closed forms and Goldstein's simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats import (
    cox_ph,
    discrete_hazard,
    from_dict,
    to_dict,
    unit_ranks,
    variance_partition,
)
from alliance_stats.errors import DataError, NotIdentifiedError, WrongObjectError
from alliance_stats.figures import ranks_figure

EXACT = 1e-8
DRAWN = 0.004  # 400 x 400 x 400 draws of shares of some hundredths
QUARTILE = np.sqrt(2.0) * stats.norm.ppf(0.75)
IMPLIED = {"cloglog": np.pi**2 / 6.0, "logit": np.pi**2 / 3.0}


def _courses() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    therapist = np.repeat(np.arange(24), 10)
    u, x = 0.8 * rng.normal(size=24), rng.normal(size=240)
    rows = []
    for i, t in enumerate(therapist):
        for session in range(1, 8):
            hazard = 1.0 - np.exp(-np.exp(-1.9 + 0.4 * x[i] + u[t]))
            event = int(rng.uniform() < hazard)
            rows.append((f"F {i}", f"T {t}", session, event, x[i]))
            if event:
                break
    return pd.DataFrame(rows, columns=["family", "therapist", "session", "event", "x"])


COURSES = _courses()


def _hazard(link: str = "cloglog", random: str | None = "(1 | therapist)"):
    return discrete_hazard(
        "x", COURSES, session="session", event="event", unit="family", link=link, random=random,
        known_before=["x"],
    )  # fmt: skip


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_latent_share_and_median_ratio_have_closed_forms(link: str) -> None:
    model = _hazard(link)
    found = variance_partition(model)
    v = float(found.variances["therapist"])
    spread = model.tidy(effects="ran_pars").set_index("term")["estimate"]["sd__(Intercept)"]
    assert v == pytest.approx(spread**2, rel=EXACT)
    latent = found.tidy().query("scale == 'latent'").set_index("group")["estimate"]
    assert latent["therapist"] == pytest.approx(v / (v + IMPLIED[link]), rel=EXACT)
    ratio = found.median_ratios()
    assert ratio["estimate"].iloc[0] == pytest.approx(np.exp(QUARTILE * np.sqrt(v)), rel=EXACT)
    assert (
        ratio["term"].iloc[0]
        == {"cloglog": "median hazard ratio", "logit": "median odds ratio"}[link]
    )


@pytest.mark.parametrize("link", ["cloglog", "logit"])
def test_share_of_the_event_itself_by_simulation(link: str) -> None:
    """Goldstein, Browne & Rasbash 2002, doi:10.1207/S15328031US0104_02, at rows' fixed parts."""
    found = variance_partition(_hazard(link))
    rng, v = np.random.default_rng(1), float(found.variances["therapist"])
    between = chance = 0.0
    for eta in np.quantile(found.model.fit.fixed_part, (np.arange(400) + 0.5) / 400):
        drawn = eta + np.sqrt(v) * rng.standard_normal(20_000)
        h = 1.0 - np.exp(-np.exp(drawn)) if link == "cloglog" else 1.0 / (1.0 + np.exp(-drawn))
        between, chance = between + h.var(), chance + (h * (1.0 - h)).mean()
    assert found.observed["therapist"] == pytest.approx(between / (between + chance), abs=DRAWN)
    observed = found.tidy().query("scale == 'observation'")["estimate"]
    assert observed.sum() == pytest.approx(1.0, rel=EXACT)


def test_intervals_of_a_hazards_shares_are_those_of_its_sd() -> None:
    model = _hazard()
    for method in ("profile", "wald"):
        row = variance_partition(model, ci_method=method).tidy().iloc[0]
        ratio = model.fit.median_ratios(ci_method=method).iloc[0]
        for end in ("conf_low", "conf_high"):
            v = (np.log(ratio[end]) / QUARTILE) ** 2
            assert row[end] == pytest.approx(v / (v + IMPLIED["cloglog"]), rel=1e-6)
        assert row["conf_low"] < row["estimate"] < row["conf_high"]
    with pytest.raises(NotIdentifiedError, match="no random effects"):
        variance_partition(_hazard(random=None))


def test_units_of_a_hazard_have_ranks_with_their_chances() -> None:
    ranks = unit_ranks(_hazard(), "therapist", seed=1, n_resamples=2000)
    table = ranks.tidy()
    assert ranks.n_extreme == 8
    assert table["lowest"].sum() == pytest.approx(8.0)
    assert table["highest"].sum() == pytest.approx(8.0)
    figure = ranks_figure(ranks)
    assert list(figure.data["level"]) == list(table["level"])
    assert "never" not in figure.caption
    assert "24 are among the lowest 8" in figure.caption
    drawn = [bar for ax in figure.figure.axes for bar in ax.patches if bar.get_gid() == "highest"]
    assert len(drawn) == 24
    assert max(bar.get_width() for bar in drawn) == pytest.approx(table["highest"].max())
    pd.testing.assert_frame_equal(from_dict(to_dict(ranks)).tidy(), table)


def test_what_has_no_units_is_not_ranked() -> None:
    cox = cox_ph("x", COURSES.drop_duplicates("family"), time="session", event="event")
    with pytest.raises(WrongObjectError, match="unit_ranks takes a model of lmm, glmm or a hazard"):
        unit_ranks(cox, "therapist")
    with pytest.raises((DataError, ValueError), match="random effects"):
        unit_ranks(_hazard(random=None), "therapist")
