"""Power by simulation: the same digits for any workers, resumed runs, failures counted."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.power import (
    ArmDifference,
    ClusterTrial,
    DropoutEffect,
    GroupDifference,
    InterviewDesign,
    LaggedEffect,
    LevelEffects,
    ModelEffect,
    Power,
    StudyDesign,
    ThemeDifference,
    power,
    power_sensitivity,
    smallest_design,
    varied,
)
from alliance_stats.power.drawn_studies import Plan
from alliance_stats.sentences import report

TRIAL = ClusterTrial(clusters=6, members=4, icc=0.1, effect=0.6)
SMALL = StudyDesign(therapists=6, families=30)
BY_HAND = 1e-12  # the same arithmetic
FINE_GRID = 2e-3  # 20,000 quantiles stand for the distribution
SPEED = 4.0  # Monte Carlo standard errors: beyond by chance once in 16,000


def means(trial):
    """Test cluster means by t: what the closed form is of."""
    first = trial["treated"].to_numpy() == 1.0
    x, y = (trial["outcome"].to_numpy()[own].reshape(-1, 4).mean(axis=1) for own in (first, ~first))
    difference = x.mean() - y.mean()
    error = math.sqrt((x.var(ddof=1) + y.var(ddof=1)) / len(x))
    p = 2.0 * stats.t.sf(abs(difference) / error, 2 * len(x) - 2)
    return pd.DataFrame({"term": ["difference"], "estimate": difference, "p_value": p})


def refuses_some(trial):
    found = means(trial)
    if found["estimate"].item() > 0.8:
        raise NotIdentifiedError("too good to be true")
    return found


def breaks_some(trial):
    found = means(trial)
    if found["estimate"].item() > 0.8:
        raise KeyError("no such column")
    return found


def says_nothing_of_some(trial):
    found = means(trial)
    return found.assign(p_value=found["p_value"].where(found["estimate"] < 0.8))


def always_fails(trial):
    raise ZeroDivisionError(f"rows: {len(trial)}")


def has_no_p(trial):
    return means(trial).drop(columns="p_value")


def test_simulated_power_is_that_of_the_closed_form():
    found = power(TRIAL, means, vary={"effect": [0.0, 0.6, 1.0]}, n_studies=500, seed=3).tidy()
    error = np.sqrt(found["closed_form"] * (1 - found["closed_form"]) / 500)
    assert (abs(found["estimate"] - found["closed_form"]) < SPEED * error).all()
    assert found["what"].tolist() == ["type I error", "power", "power"]
    assert found["closed_form"].iloc[0] == pytest.approx(0.05, abs=1e-9)
    assert found["type_m"].iloc[1] > 1.2  # few clusters: what is found is too large
    assert math.isnan(found["type_s"].iloc[0])


def test_power_of_fishers_test_runs_through_all_tables():
    design = InterviewDesign(first=6, second=7, shares=(0.85, 0.3))
    found = power(design, ThemeDifference(), n_studies=100, seed=1).tidy().iloc[0]
    error = math.sqrt(found["closed_form"] * (1 - found["closed_form"]) / 100)
    assert abs(found["estimate"] - found["closed_form"]) < SPEED * error
    null = InterviewDesign(shares=(0.5, 0.5)).closed_form(0.05)["difference"]
    assert 0.0 < null < 0.05  # an exact test is never too liberal


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_workers_give_the_digits_of_one(tmp_path, workers):
    asked = {"vary": {"clusters": [4, 6]}, "n_studies": 24, "seed": 8}
    one = power(TRIAL, ArmDifference(), **asked)
    many = power(TRIAL, ArmDifference(), workers=workers, store=tmp_path / "kept", **asked)
    pd.testing.assert_frame_equal(one.studies, many.studies)
    pd.testing.assert_frame_equal(one.tidy(), many.tidy())


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    asked = {"n_studies": 30, "seed": 8}
    whole = power(TRIAL, means, **asked)
    power(TRIAL, means, **asked, store=tmp_path)
    parts = sorted(tmp_path.glob("*.parquet"))
    assert len(parts) == 3
    before = parts[0].stat().st_mtime_ns
    parts[1].unlink()
    again = power(TRIAL, means, **asked, store=tmp_path)
    pd.testing.assert_frame_equal(again.studies, whole.studies)
    assert parts[0].stat().st_mtime_ns == before  # what was there was not drawn again
    with pytest.raises(DataError, match="holds studies of another plan: its seed is 8"):
        power(TRIAL, means, n_studies=30, seed=9, store=tmp_path)


def test_failures_are_counted_and_named_and_find_nothing():
    found = power(TRIAL, refuses_some, n_studies=60, seed=2)
    row = found.tidy().iloc[0]
    whole = power(TRIAL, means, n_studies=60, seed=2)
    failed = int((whole.studies["estimate"] > 0.8).sum())
    assert row["n_failed"] == failed > 0
    kept = whole.studies[whole.studies["estimate"] <= 0.8]
    assert row["estimate"] == pytest.approx((kept["p_value"] < 0.05).sum() / 60, rel=BY_HAND)
    assert row["bias"] == pytest.approx(kept["estimate"].mean() - 0.6, rel=BY_HAND)
    assert f"{failed} of 60 studies could not be analysed" in found.summary()
    assert "NotIdentifiedError: too good to be true" in str(found.rows)
    with pytest.raises(DataError, match="gives no column 'p_value'"):
        power(TRIAL, has_no_p, n_studies=2, seed=1)


@pytest.mark.parametrize("analysis", [breaks_some, says_nothing_of_some])
def test_whatever_an_analysis_does_not_answer_is_counted(analysis):
    whole = power(TRIAL, means, n_studies=60, seed=2)
    failed = int((whole.studies["estimate"] > 0.8).sum())
    found = power(TRIAL, analysis, n_studies=60, seed=2)
    row = found.tidy().iloc[0]
    assert row["n_failed"] == failed > 0
    assert row["failed_share"] == pytest.approx(failed / 60, rel=BY_HAND)
    assert row["failed_low"] < row["failed_share"] < row["failed_high"]
    kept = whole.studies[whole.studies["estimate"] <= 0.8]
    assert row["estimate"] == pytest.approx((kept["p_value"] < 0.05).sum() / 60, rel=BY_HAND)
    assert "count as studies that" in found.notes[0]


def test_an_analysis_that_never_answers_is_refused_with_its_reason():
    with pytest.raises(DataError, match="None of 5 studies could be analysed: ZeroDivisionError"):
        power(TRIAL, always_fails, n_studies=5, seed=1)
    with pytest.raises(DataError, match="None of 50 studies could be analysed: ZeroDivisionError"):
        power(TRIAL, always_fails, n_studies=100_000, seed=1)  # the rest is not drawn
    with pytest.raises(DataError, match="None of 100 studies could be analysed"):
        power_sensitivity(TRIAL, always_fails, vary={"icc": [0.2]}, n_studies=100_000, seed=1)
    misspelt = ModelEffect(formula="alliance ~ session + (1 | person)", term="sesion")
    with pytest.raises(DataError, match="Did you mean 'session'"):
        power(SMALL, misspelt, n_studies=2, seed=1)


def test_every_measure_has_a_monte_carlo_interval():
    found = power(TRIAL, means_with_limits, n_studies=100, seed=6)
    row, studies = found.tidy().iloc[0], found.studies
    told = studies[studies["p_value"] < 0.05]
    sizes = told["estimate"].abs() / 0.6
    assert row["type_m"] == pytest.approx(sizes.mean(), rel=BY_HAND)
    half = stats.t.isf(0.025, len(sizes) - 1) * sizes.std() / math.sqrt(len(sizes))
    assert row["type_m_high"] - row["type_m"] == pytest.approx(half, rel=1e-9)
    width = studies["conf_high"] - studies["conf_low"]
    assert row["width"] == pytest.approx(width.mean(), rel=BY_HAND)
    assert row["width_high"] - row["width"] == pytest.approx(
        stats.t.isf(0.025, 99) * width.std() / 10, rel=1e-9
    )
    assert row["type_s"] == pytest.approx((told["estimate"] < 0).mean(), rel=BY_HAND)
    for name in ("bias", "coverage", "width", "type_s", "type_m", "singular_share"):
        stem = name.removesuffix("_share")
        assert row[f"{stem}_low"] <= row[name] <= row[f"{stem}_high"], name


def means_with_limits(trial):
    found = means(trial)
    k = 6
    error = abs(found["estimate"]) / stats.t.isf(found["p_value"] / 2.0, 2 * k - 2)
    half = stats.t.isf(0.025, 2 * k - 2) * error
    return found.assign(conf_low=found["estimate"] - half, conf_high=found["estimate"] + half)


def test_values_are_the_same_of_whatever_type(tmp_path):
    asked = {"n_studies": 4, "seed": 1}
    plain = power(TRIAL, means, vary={"icc": [0.1, 0.2]}, **asked)
    numpy = power(TRIAL, means, vary={"icc": np.array([0.1, 0.2])}, **asked)
    pd.testing.assert_frame_equal(plain.studies, numpy.studies)
    design = InterviewDesign()
    pairs = {"shares": [(0.9, 0.1), (0.5, 0.5)]}
    found = power(design, ThemeDifference(), vary=pairs, **asked, store=tmp_path).tidy()
    assert found["shares"].tolist() == pairs["shares"]
    assert found["what"].tolist() == ["power", "type I error"]
    kept = pd.read_parquet(tmp_path)  # the folder is one data set for any reader of Parquet
    assert len(kept) == 8
    assert kept["assumptions"].nunique() == 2


def test_a_changed_analysis_is_another_plan(tmp_path):
    def scaled(by):
        return lambda trial: means(trial).assign(estimate=lambda d: by * d["estimate"])

    power(TRIAL, scaled(1.0), n_studies=2, seed=1, store=tmp_path)
    power(TRIAL, scaled(1.0), n_studies=2, seed=1, store=tmp_path)
    with pytest.raises(DataError, match="its analysis is"):
        power(TRIAL, scaled(2.0), n_studies=2, seed=1, store=tmp_path)
    noted = ClusterTrial(clusters=6, members=4, icc=0.1, effect=0.6, sources={"icc": "a pilot"})
    power(noted, scaled(1.0), n_studies=2, seed=1, store=tmp_path)  # a source moves no digit


def test_sensitivity_changes_one_assumption_at_a_time():
    asked = {"n_studies": 120, "seed": 5}
    found = power_sensitivity(TRIAL, means, vary={"icc": [0.01, 0.3], "clusters": [12]}, **asked)
    table = found.tidy()
    assert table["assumption"].tolist() == ["as planned", "icc", "icc", "clusters"]
    planned = power(TRIAL, means, **asked).tidy().iloc[0]
    assert table["estimate"].iloc[0] == planned["estimate"]
    assert table["power_change"].iloc[0] == 0.0
    for (name, value), row in zip(
        [("icc", 0.01), ("icc", 0.3), ("clusters", 12)], table.iloc[1:].itertuples(), strict=True
    ):
        changed = ClusterTrial(
            **{"clusters": 6, "members": 4, "icc": 0.1, "effect": 0.6, name: value}
        )
        assert row.closed_form == changed.closed_form(0.05)["difference"]
        closed = row.closed_form - TRIAL.closed_form(0.05)["difference"]
        assert row.power_change_low < closed < row.power_change_high
    assert "One assumption changed" in found.summary().replace("one", "One")


@pytest.mark.parametrize(
    "analysis",
    [
        ModelEffect(
            formula="alliance ~ session + experience + (1 | therapist/family/person)",
            term="experience",
            parameter="alliance.experience",
        ),
        LevelEffects(),
        DropoutEffect(),
        GroupDifference(),
        LaggedEffect(),
    ],
    ids=lambda analysis: type(analysis).__name__,
)
def test_prepared_analyses_answer_a_whole_study(analysis):
    found = power(SMALL, analysis, n_studies=2, seed=5)
    assert found.rows.n_set_aside == 0
    tidy = found.tidy()
    assert tidy["estimate"].between(0.0, 1.0).all()
    assert (tidy["width"] > 0.0).all()
    if getattr(analysis, "parameter", ""):
        assert tidy["truth"].item() == SMALL.truth[analysis.parameter]


def test_a_partially_nested_trial_has_clusters_in_one_arm():
    trial = ClusterTrial(clusters=5, members=4, icc=0.3, partially_nested=True)
    data = trial.draw(np.random.default_rng(1))
    sizes = data.groupby("cluster")["treated"].agg(["size", "mean"])
    assert (sizes["size"] == np.where(sizes["mean"] == 1.0, 4, 1)).all()
    found = power(trial, ArmDifference(partially_nested=True), n_studies=4, seed=1).tidy()
    assert found["n_failed"].item() == 0
    assert 0.2 < found["closed_form"].item() < 0.3


def test_the_smallest_design_is_where_the_closed_form_says():
    sizes = range(4, 40, 4)
    found = smallest_design(
        TRIAL, means, vary={"clusters": sizes}, aim=0.8, n_studies=600, batch=200, seed=4
    )
    closed = [
        ClusterTrial(clusters=k, members=4, icc=0.1, effect=0.6).closed_form(0.05)["difference"]
        for k in sizes
    ]
    right = next(k for k, share in zip(sizes, closed, strict=True) if share >= 0.8)
    assert abs(found.value - right) <= 4  # a neighbour's power is not told from 80%
    assert f"clusters = {found.value} is the smallest that reaches 80%." in report(found)
    assert len(found.tidy()) < len(sizes)
    none = smallest_design(TRIAL, means, vary={"clusters": [2, 3]}, n_studies=100, seed=4)
    assert none.value is None
    assert "None of the values of clusters" in none.summary()


def test_the_smallest_effect_is_looked_for_like_any_assumption():
    effects = [0.3, 0.6, 0.9, 1.2, 1.5]
    found = smallest_design(TRIAL, means, vary={"effect": effects}, n_studies=200, seed=4)
    closed = {e: varied(TRIAL, {"effect": e}).closed_form(0.05)["difference"] for e in effects}
    assert found.value == min(e for e, share in closed.items() if share >= 0.8)
    assert f"effect = {found.value} is the smallest that reaches 80%." in found.summary()
    # power falls as the ICC rises: the least power first, so that the answer is the largest ICC
    iccs = [0.4, 0.2, 0.05, 0.0]
    large = varied(TRIAL, {"effect": 1.1})
    best = smallest_design(large, means, vary={"icc": iccs}, n_studies=200, seed=4)
    closed = [varied(large, {"icc": icc}).closed_form(0.05)["difference"] for icc in iccs]
    assert best.value == next(i for i, share in zip(iccs, closed, strict=True) if share >= 0.8)
    assert f"icc = {best.value} is the largest that reaches 80%." in best.summary()


def test_errors_of_sign_and_size_are_those_of_a_normal_estimate():
    """Gelman & Carlin 2014, doi:10.1177/1745691614551642: an effect of a third of its error."""
    n, ratio = 20_000, 1.0 / 3.0
    z = stats.norm.ppf((np.arange(n) + 0.5) / n) + ratio
    studies = pd.DataFrame(
        {
            "cell": 0, "study": np.arange(n), "term": "difference", "truth": ratio, "estimate": z,
            "p_value": 2 * stats.norm.sf(abs(z)), "conf_low": z - 1.96, "conf_high": z + 1.96,
            "singular": False, "failed": "",
        }
    )  # fmt: skip
    row = Power(Plan(TRIAL, means, 1), ({},), 0.05, studies).tidy().iloc[0]
    limit = stats.norm.isf(0.025)
    wrong, right = stats.norm.cdf(-limit - ratio), stats.norm.sf(limit - ratio)
    assert row["estimate"] == pytest.approx(wrong + right, rel=FINE_GRID)
    assert row["type_s"] == pytest.approx(wrong / (wrong + right), rel=FINE_GRID)
    above = ratio * right + stats.norm.pdf(limit - ratio)
    below = -ratio * wrong + stats.norm.pdf(limit + ratio)
    size = (above + below) / (wrong + right) / ratio
    assert row["type_m"] == pytest.approx(size, rel=FINE_GRID)
    assert row["type_s_low"] < row["type_s"] < row["type_s_high"]
    assert row["coverage"] == pytest.approx(0.95, abs=1e-3)
    assert row["bias"] == pytest.approx(0.0, abs=1e-9)


def test_assumptions_stand_in_a_table_with_their_sources():
    design = StudyDesign.of_shares(
        therapists=15,
        families=60,
        alliance_icc={"therapist": 0.08, "family": 0.2},
        alliance_sd=0.5,
        dropout=0.03,
        sources={"alliance.sd_therapist": "Baldwin 2007"},
    )
    table = design.assumptions().set_index("assumption")
    assert table.loc["alliance.sd_therapist", "value"] == pytest.approx(0.5 * math.sqrt(0.08))
    assert table.loc["alliance.sd_therapist", "source"] == "Baldwin 2007"
    assert table.loc["families", "value"] == 60
    assert table.loc["families", "source"] == "assumed"
    assert design.truth["dropout.(Intercept)"] == pytest.approx(math.log(0.03 / 0.97))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: StudyDesign(therapists=30, families=20), "need 30 families; got 20"),
        (lambda: StudyDesign.of_shares(dropout=1.2), "dropout is a share"),
        (
            lambda: StudyDesign.of_shares(alliance_icc={"therapist": 0.6, "person": 0.5}),
            "nothing is left within persons",
        ),
        (lambda: StudyDesign.of_shares(symptoms_icc={"site": 0.1}), "no level 'site'"),
        (lambda: ClusterTrial(clusters=1, members=4), "clusters must be a whole number"),
        (lambda: ClusterTrial(clusters=4, members=4, icc=1.0), "icc is a share"),
        (lambda: InterviewDesign(shares=(1.2, 0.3)), "shares is a share"),
        (
            lambda: power(TRIAL, means, vary={"cluster": [4]}, n_studies=2, seed=1),
            "no 'cluster' to vary. Did you mean 'clusters'",
        ),
        (
            lambda: power(SMALL, means, vary={"alliance.experienc": [0]}, n_studies=2, seed=1),
            "Did you mean 'experience'",
        ),
        (lambda: power(TRIAL, means, n_studies=1, seed=1), "n_studies must be a whole number"),
        (lambda: power(TRIAL, means, vary={"icc": []}, seed=1), "no value of 'icc'"),
        (lambda: power(TRIAL, means, n_studies=5, seed=None), "seed must be a whole number"),
        (lambda: power(TRIAL, means, vary={"icc": [0.1, 0.1]}, seed=1), "of 'icc' twice"),
        (lambda: power(TRIAL, means, vary={"icc": 0.1}, seed=1), "takes a list of values of 'icc'"),
        (lambda: power(TRIAL, means, vary=[0.1], seed=1), "vary= is given by names, as .*0.1"),
        (
            lambda: power(TRIAL, means, alpha="0.05", seed=1),
            "alpha must lie between 0 and 1; got '0.0",
        ),
        (
            lambda: power(
                TRIAL,
                lambda _: pd.DataFrame({"term": ["a"], "estimate": ["high"], "p_value": 0.1}),
                seed=1,
            ),
            "the text 'high' for the number 'estimate'",
        ),
        (lambda: power(TRIAL, means, n_studies=5, seed=1, workers="2"), "workers is a number"),
        (
            lambda: power(TRIAL, means, n_studies=1000, precision=0.02, seed=1),
            "from 2,401 studies on; n_studies = 1,000 is fewer",
        ),
        (lambda: power_sensitivity(TRIAL, means, vary={}, seed=1), "needs vary="),
        (
            lambda: smallest_design(TRIAL, means, vary={"clusters": [4, 3, 8]}, seed=1),
            "must rise or fall",
        ),
        (
            lambda: smallest_design(TRIAL, means, vary={"clusters": [4]}, batch=0, seed=1),
            "batch must be a whole number",
        ),
        (
            lambda: smallest_design(TRIAL, means, vary={"clusters": [4]}, term="diff", seed=1),
            "no term 'diff'",
        ),
    ],
)
def test_what_cannot_be_is_refused(ask, message):
    with pytest.raises(DataError, match=message):
        ask()


def test_a_last_session_that_every_rater_skipped_was_attended():
    study = StudyDesign(therapists=30, families=240).draw(np.random.default_rng([1, 2]))
    frame = study.sessions
    last = frame["session"] == frame.groupby("family")["session"].transform("max")
    assert frame[last].groupby("family")["alliance"].count().eq(0).sum() == 2
    found = DropoutEffect()(study)  # warns of nothing
    assert np.isfinite(found["estimate"]).all()
