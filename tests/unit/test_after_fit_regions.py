"""Johnson-Neyman regions and R2 by source, by algebra written out here."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import glmm, johnson_neyman, lmm, r_squared, simple_slopes
from alliance_stats.multilevel.after.region_bounds import region_bounds


def _study(seed=3, n_units=24, n_each=9):
    """Clients of therapists: a moderator of the therapist, a client's predictor, a framework."""
    rng = np.random.default_rng(seed)
    therapist = np.repeat(np.arange(n_units), n_each)
    experience = rng.normal(8.0, 3.0, n_units)[therapist]
    framework = np.array(["usual", "informed"])[(np.arange(n_units) % 2)][therapist]
    barrier = rng.normal(size=len(therapist)) + 0.4 * rng.normal(size=n_units)[therapist]
    slope = -1.0 + 0.11 * experience + 0.3 * rng.normal(size=n_units)[therapist]
    y = 4.0 + slope * barrier + 0.3 * (framework == "informed") * (experience - 8) / 3
    y = y + 0.5 * rng.normal(size=n_units)[therapist] + rng.normal(size=len(therapist))
    return pd.DataFrame(
        {
            "therapist": [f"T{i:02d}" for i in therapist],
            "experience": experience,
            "framework": framework,
            "barrier": barrier,
            "alliance": y,
        }
    )


@pytest.fixture(scope="module")
def data():
    return _study()


@pytest.fixture(scope="module")
def model(data):
    return lmm(
        "alliance ~ barrier * experience + framework * experience + (1 + barrier | therapist)", data
    )


def _quadratic_bounds(model, main, product, critical):
    """Roots of (b1 + b3 m)^2 = t^2 (v11 + 2 m v13 + m^2 v33), from the coefficients."""
    b, V = model.beta, model.vcov()
    a = b[product] ** 2 - critical**2 * V.loc[product, product]
    mid = 2 * (b[main] * b[product] - critical**2 * V.loc[main, product])
    c = b[main] ** 2 - critical**2 * V.loc[main, main]
    roots = np.roots([a, mid, c])
    return np.sort(roots[np.isreal(roots)].real)


@pytest.mark.parametrize("conf_level", [0.8, 0.95, 0.99])
def test_bounds_are_the_roots_of_the_quadratic(model, conf_level):
    region = johnson_neyman(model, "barrier", moderator="experience", df_method="normal")
    z = stats.norm.isf((1 - conf_level) / 2)
    expected = _quadratic_bounds(model, "barrier", "barrier:experience", z)
    found = region.boundaries(conf_level=conf_level)["value"]
    assert len(found) == 2
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_bounds_of_a_difference_between_levels(model):
    region = johnson_neyman(model, "framework", moderator="experience", df_method="normal")
    assert region.effect_name == "usual - informed"
    expected = _quadratic_bounds(
        model, "framework[T.usual]", "framework[T.usual]:experience", stats.norm.isf(0.025)
    )
    found = region.boundaries()["value"]
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_reversing_the_levels_keeps_the_bounds_and_flips_the_sign(model):
    one = johnson_neyman(model, "framework", moderator="experience", values=("usual", "informed"))
    two = johnson_neyman(model, "framework", moderator="experience", values=("informed", "usual"))
    np.testing.assert_allclose(one.boundaries()["value"], two.boundaries()["value"], rtol=1e-8)
    np.testing.assert_allclose(one.band()["estimate"], -two.band()["estimate"], rtol=1e-9)


@pytest.mark.parametrize("df_method", ["satterthwaite", "kenward-roger"])
def test_bounds_follow_the_df_along_the_moderator(model, df_method):
    region = johnson_neyman(model, "barrier", moderator="experience", df_method=df_method)
    bounds = region.boundaries()
    assert bounds["within_data"].any()
    slopes = simple_slopes(
        model,
        "barrier",
        by="experience",
        at={"experience": list(bounds["value"])},
        df_method=df_method,
    ).tidy()
    assert np.ptp(slopes["df"]) > 0.01
    np.testing.assert_allclose(slopes["p_value"], 0.05, rtol=1e-7)


def test_df_that_vary_give_other_bounds_than_one_df(model):
    followed = johnson_neyman(model, "barrier", moderator="experience").boundaries()["value"]
    fixed = johnson_neyman(
        model, "barrier", moderator="experience", df_method="normal"
    ).boundaries()["value"]
    assert np.abs(followed.iloc[0] - fixed.iloc[0]) > 1e-3


def test_regions_agree_with_the_test_at_every_unit(model, data):
    region = johnson_neyman(model, "barrier", moderator="experience", unit="therapist")
    values = data.groupby("therapist")["experience"].first()
    slopes = simple_slopes(
        model, "barrier", by="experience", at={"experience": list(values)}
    ).tidy()
    table = region.tidy()
    assert table["n"].sum() == len(values) == 24
    assert table["share"].sum() == pytest.approx(1.0)
    for row in table.itertuples():
        inside = slopes[slopes["experience"].between(row.region_low, row.region_high)]
        assert len(inside) == row.n
        if row.direction == "undetermined":
            assert (inside["p_value"] > 0.05).all()
        else:
            assert (inside["p_value"] <= 0.05).all()
            sign = 1 if row.direction == "positive" else -1
            assert (np.sign(inside["estimate"]) == sign).all()


def test_band_is_that_of_the_simple_slopes(model, data):
    region = johnson_neyman(model, "barrier", moderator="experience")
    band = region.band(points=5, conf_level=0.9)
    slopes = simple_slopes(
        model, "barrier", by="experience", at={"experience": list(band["value"])}
    ).tidy(conf_level=0.9)
    assert band["value"].iloc[0] == data["experience"].min()
    for column in ("estimate", "std_error", "df", "p_value", "conf_low", "conf_high"):
        np.testing.assert_allclose(band[column], slopes[column], rtol=1e-7)


def test_false_discovery_rate(model, data):
    region = johnson_neyman(
        model, "barrier", moderator="experience", unit="therapist", adjust="fdr"
    )
    values = np.unique(data["experience"])
    p = np.sort(
        simple_slopes(model, "barrier", by="experience", at={"experience": list(values)}).tidy()[
            "p_value"
        ]
    )
    m = len(p)
    largest = max((k for k in range(1, m + 1) if p[k - 1] <= 0.05 * k / m), default=1)
    assert 1 < largest < m
    assert region.alpha() == pytest.approx(0.05 * largest / m)
    found = region.tidy()
    told = found.loc[found["direction"] != "undetermined", "n"].sum()
    assert told == largest
    plain = johnson_neyman(model, "barrier", moderator="experience", unit="therapist")
    assert plain.tidy().query("direction != 'undetermined'")["n"].sum() >= told
    # nothing passes: Bonferroni's level is left
    none = johnson_neyman(
        lmm("alliance ~ barrier * experience + (1 | therapist)", _null(data)),
        "barrier",
        moderator="experience",
        adjust="fdr",
    )
    assert none.alpha() == pytest.approx(0.05 / m)


def _null(data):
    rng = np.random.default_rng(11)
    return data.assign(alliance=rng.permutation(data["alliance"].to_numpy()))


def test_no_bound_at_all():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "g": np.repeat(np.arange(20), 30),
            "x": rng.normal(size=600),
            "m": rng.normal(size=600),
        }
    )
    frame["y"] = 5 * frame["x"] + 0.001 * frame["x"] * frame["m"] + rng.normal(size=600)
    region = johnson_neyman(lmm("y ~ x * m + (1 | g)", frame), "x", moderator="m")
    table = region.tidy()
    assert len(table) == 1
    assert table["direction"][0] == "positive"
    assert table["share"][0] == 1.0
    assert not region.boundaries()["within_data"].any()


def test_bounds_of_a_curved_effect():
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"g": np.repeat(np.arange(30), 10), "x": rng.normal(size=300)})
    frame["m"] = rng.uniform(-2, 2, 300)
    frame["y"] = (frame["m"] ** 2 - 1.5) * frame["x"] + rng.normal(size=300)
    model = lmm("y ~ x * (m + I(m**2)) + (1 | g)", frame)
    region = johnson_neyman(model, "x", moderator="m", df_method="normal")
    assert not region.straight
    directions = list(region.tidy()["direction"])
    assert directions == ["positive", "undetermined", "negative", "undetermined", "positive"]
    for value in region.boundaries().query("within_data")["value"]:
        slope = simple_slopes(model, "x", by="m", at={"m": value}, df_method="normal").tidy()
        assert slope["p_value"][0] == pytest.approx(0.05, rel=1e-6)


def test_a_test_that_just_touches_its_limit_is_not_missed():
    class Line:
        """|theta| / se leaves its limit only within 2e-4 of the middle of the data."""

        def __init__(self, m):
            self.estimate = stats.norm.isf(0.025) + 1e-8 - 0.5 * (np.asarray(m) - 0.501234) ** 2
            self.std_error = np.ones_like(self.estimate)
            self.df = np.full(self.estimate.shape, np.inf)

    found = region_bounds(Line, 0.0, 1.0, alpha=0.05, straight=False)
    near = found[np.abs(found - 0.5) < 0.2]
    np.testing.assert_allclose(
        near, [0.501234 - np.sqrt(2e-8), 0.501234 + np.sqrt(2e-8)], atol=1e-7
    )


def test_region_in_words(model):
    text = johnson_neyman(model, "barrier", moderator="experience", unit="therapist").summary()
    assert text.startswith("Effect of barrier along experience, 95% intervals; data from ")
    assert "cannot be told from zero" in text
    assert "of the units of 'therapist', n = " in text
    assert "216 used" in text


@pytest.mark.parametrize("unit", ["the {0.__class__}", "{}"])
def test_a_unit_is_called_as_it_is(data, unit):
    renamed = data.rename(columns={"therapist": unit})
    model = lmm(f"alliance ~ barrier * experience + (1 | `{unit}`)", renamed)
    found = johnson_neyman(model, "barrier", moderator="experience", unit=unit)
    assert f"of the units of '{unit}', n = " in found.summary()


def test_region_of_a_logit_model(data):
    frame = data.assign(high=(data["alliance"] > 4).astype(int))
    model = glmm("high ~ barrier * experience + (1 | therapist)", frame)
    region = johnson_neyman(model, "barrier", moderator="experience")
    expected = _quadratic_bounds(model, "barrier", "barrier:experience", stats.norm.isf(0.025))
    np.testing.assert_allclose(region.boundaries()["value"], expected, rtol=1e-7)
    assert "(logit scale)" in region.summary()


def test_what_a_region_refuses(model, data):
    with pytest.raises(FormulaError, match="does not depend on 'experience' in this model"):
        johnson_neyman(
            lmm("alliance ~ barrier + experience + (1 | therapist)", data),
            "barrier",
            moderator="experience",
        )
    with pytest.raises(FormulaError, match="'framework' is a factor and has no slope"):
        johnson_neyman(model, "barrier", moderator="framework")
    with pytest.raises(FormulaError, match=r"not among the fixed effects.*Did you mean 'barrier'"):
        johnson_neyman(model, "barier", moderator="experience")
    with pytest.raises(FormulaError, match="it cannot be the predictor too"):
        johnson_neyman(model, "experience", moderator="experience")
    with pytest.raises(FormulaError, match=r"two of the levels of 'framework' \(informed, usual\)"):
        johnson_neyman(model, "framework", moderator="experience", values=("usual", "none"))
    with pytest.raises(DataError, match="'experience' varies within 'room'"):
        johnson_neyman(
            lmm(
                "alliance ~ barrier * experience + (1 | therapist) + (1 | room)",
                data.assign(room=np.arange(len(data)) % 7),
            ),
            "barrier",
            moderator="experience",
            unit="room",
        )
    with pytest.raises(ValueError, match="adjust must be one of 'none', 'fdr'"):
        johnson_neyman(model, "barrier", moderator="experience", adjust="bonferroni")
    three = data.assign(kind=np.resize(["a", "b", "c"], len(data)))
    with pytest.raises(FormulaError, match=r"'kind' has 3 levels \(a, b, c\): say which two"):
        johnson_neyman(
            lmm("alliance ~ kind * experience + (1 | therapist)", three),
            "kind",
            moderator="experience",
        )
    aliased = data.assign(twice=2 * data["barrier"])
    with pytest.raises(NotIdentifiedError, match="do not determine the effect of 'barrier'"):
        johnson_neyman(
            lmm("alliance ~ twice * experience + barrier * experience + (1 | therapist)", aliased),
            "barrier",
            moderator="experience",
        )


# -- R2 by source ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def centred(data):
    mean = data.groupby("therapist")["barrier"].transform("mean")
    return data.assign(within=data["barrier"] - mean, between=mean)


def test_rights_and_sterba_with_centred_predictors(centred):
    """Their equations with cluster-mean-centred predictors: f1, f2, v, m and the residual."""
    model = lmm("alliance ~ within + between + experience + (1 + within | therapist)", centred)
    b, T = model.beta, model.covariances()["therapist"].to_numpy()
    Phi_w = np.cov(centred["within"])
    Phi_b = np.cov(centred[["between", "experience"]].to_numpy(), rowvar=False)
    gamma_b = b[["between", "experience"]].to_numpy()
    f1 = b["within"] ** 2 * Phi_w
    f2 = gamma_b @ Phi_b @ gamma_b
    Z = np.column_stack([np.ones(len(centred)), centred["within"]])
    v = np.trace(T @ np.cov(Z, rowvar=False))
    m = Z.mean(axis=0) @ T @ Z.mean(axis=0)
    e = model.sigma**2
    total = f1 + f2 + v + m + e
    table = r_squared(model, cluster="therapist").tidy().set_index(["measure", "scope"])["estimate"]
    assert table["f", "total"] == pytest.approx((f1 + f2) / total, rel=1e-9)
    assert table["fv", "total"] == pytest.approx((f1 + f2 + v) / total, rel=1e-9)
    assert table["fvm", "total"] == pytest.approx((f1 + f2 + v + m) / total, rel=1e-9)
    assert table["f1", "within"] == pytest.approx(f1 / (f1 + v + e), rel=1e-9)
    assert table["f1v", "within"] == pytest.approx((f1 + v) / (f1 + v + e), rel=1e-9)
    assert table["f2", "between"] == pytest.approx(f2 / (f2 + m), rel=1e-9)
    parts = r_squared(model, cluster="therapist").partition()
    assert parts["share"].sum() == pytest.approx(1.0)
    between_slopes = parts.query("source == 'slopes' and scope == 'between'")["variance"]
    assert between_slopes.iloc[0] == pytest.approx(0.0, abs=1e-12)


def test_rights_and_sterba_with_uncentred_predictors(data):
    """Total variance: gamma'Phi gamma + tr(T Sigma) + m'Tm + residual; slopes part between too."""
    model = lmm("alliance ~ barrier * experience + (1 + barrier | therapist)", data)
    b, T = model.beta, model.covariances()["therapist"].to_numpy()
    X = np.column_stack([data["barrier"], data["experience"], data["barrier"] * data["experience"]])
    gamma = b[["barrier", "experience", "barrier:experience"]].to_numpy()
    Z = np.column_stack([np.ones(len(data)), data["barrier"]])
    f = gamma @ np.cov(X, rowvar=False) @ gamma
    v, m = np.trace(T @ np.cov(Z, rowvar=False)), Z.mean(axis=0) @ T @ Z.mean(axis=0)
    total = f + v + m + model.sigma**2
    found = r_squared(model)
    table = found.tidy().set_index("measure")["estimate"]
    assert table["f"] == pytest.approx(f / total, rel=1e-9)
    assert table["fv"] == pytest.approx((f + v) / total, rel=1e-9)
    assert table["fvm"] == pytest.approx((f + v + m) / total, rel=1e-9)
    parted = r_squared(model, cluster="therapist").partition()
    by_source = parted.groupby("source")["variance"].sum()
    assert by_source["fixed"] == pytest.approx(f)
    assert by_source["slopes"] == pytest.approx(v)
    assert by_source["means"] == pytest.approx(m)
    assert parted.query("source == 'slopes' and scope == 'between'")["variance"].iloc[0] > 0


def test_a_factor_nested_in_the_cluster_varies_within_it():
    rng = np.random.default_rng(8)
    frame = pd.DataFrame({"family": np.repeat(np.arange(60), 6)})
    frame["therapist"] = frame["family"] // 5
    frame["x"] = rng.normal(size=360)
    frame["y"] = (
        frame["x"]
        + rng.normal(size=12)[frame["therapist"]]
        + rng.normal(size=60)[frame["family"]]
        + rng.normal(size=360)
    )
    model = lmm("y ~ x + (1 | therapist) + (1 | family)", frame)
    parts = r_squared(model, cluster="therapist").partition()
    means = parts[parts["source"] == "means"].set_index("group")["scope"]
    assert means["family"] == "within"
    assert means["therapist"] == "between"
    below = r_squared(model, cluster="family").partition()
    means = below[below["source"] == "means"].set_index("group")["scope"]
    assert set(means) == {"between"}


def test_r2_of_counts_uses_the_mean_count():
    rng = np.random.default_rng(4)
    frame = pd.DataFrame({"g": np.repeat(np.arange(30), 8), "x": rng.normal(size=240)})
    frame["y"] = rng.poisson(np.exp(0.5 + 0.4 * frame["x"] + 0.5 * rng.normal(size=30)[frame["g"]]))
    model = glmm("y ~ x + (1 | g)", frame, family="poisson")
    f = model.beta["x"] ** 2 * frame["x"].var()
    u = model.covariances()["g"].iloc[0, 0]
    e = np.log1p(1 / frame["y"].mean())
    found = r_squared(model)
    assert found.marginal == pytest.approx(f / (f + u + e), rel=1e-9)
    assert found.conditional == pytest.approx((f + u) / (f + u + e), rel=1e-9)
    assert "log scale" in found.summary()


@pytest.mark.parametrize(
    ("link", "latent"),
    # the variance that each link implies is that of its latent distribution, by scipy
    [("logit", stats.logistic.var()), ("cloglog", stats.gumbel_l.var()), ("probit", 1.0)],
)
def test_r2_of_a_binomial_model_has_the_variance_of_its_latent_distribution(link, latent):
    rng = np.random.default_rng(6)
    frame = pd.DataFrame({"g": np.repeat(np.arange(30), 12), "x": rng.normal(size=360)})
    eta = 0.6 * frame["x"] + 0.7 * rng.normal(size=30)[frame["g"]]
    frame["y"] = (rng.uniform(size=360) < 1 / (1 + np.exp(-eta))).astype(int)
    model = glmm("y ~ x + (1 | g)", frame, link=link)
    f = model.beta["x"] ** 2 * frame["x"].var()
    u = model.covariances()["g"].iloc[0, 0]
    found = r_squared(model)
    assert found.marginal == pytest.approx(f / (f + u + latent), rel=1e-6)
    assert found.conditional == pytest.approx((f + u) / (f + u + latent), rel=1e-6)


def test_what_r2_refuses(data):
    model = lmm("alliance ~ barrier + (1 | therapist)", data)
    with pytest.raises(FormulaError, match=r"'terapist' is not a grouping factor.*'therapist'"):
        r_squared(model, cluster="terapist")
    weighted = lmm(
        "alliance ~ barrier + (1 | therapist)",
        data.assign(w=np.linspace(1, 2, len(data))),
        weights="w",
    )
    with pytest.raises(NotIdentifiedError, match="residual variance differs between rows"):
        r_squared(weighted)
    crossed = lmm(
        "alliance ~ barrier + (1 | therapist) + (1 | room)",
        data.assign(room=np.arange(len(data)) % 7),
    )
    with pytest.raises(DataError, match="'therapist' and 'room' are crossed"):
        r_squared(crossed, cluster="therapist")


def test_r2_in_words(data):
    text = r_squared(lmm("alliance ~ barrier + (1 | therapist)", data)).summary()
    assert text.startswith("Explained variance on the scale of the outcome")
    assert "Nakagawa & Schielzeth 2013" in text
    assert "Rights & Sterba 2019" in text


def test_a_moderator_whose_transform_ends_with_the_data():
    # log() has no value a range below the data: bounds are looked for where the formula has one
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"unit": np.repeat(np.arange(30), 8), "x": rng.normal(size=240)})
    data["m"] = rng.integers(1, 26, 240).astype(float)
    data["y"] = 0.4 * (np.log(data["m"]) - 2.0) * data["x"] + rng.normal(size=240)
    model = lmm("y ~ x * log(m) + (1 | unit)", data)
    inside = johnson_neyman(model, "x", moderator="m").boundaries().query("within_data")["value"]
    # the roots in log(m), of a straight effect, are those of the same model of a column log(m)
    straight = lmm("y ~ x * l + (1 | unit)", data.assign(l=np.log(data["m"])))
    roots = johnson_neyman(straight, "x", moderator="l").boundaries().query("within_data")["value"]
    assert len(inside) == 2
    assert inside.to_numpy() == pytest.approx(np.exp(roots.to_numpy()), rel=1e-6)
