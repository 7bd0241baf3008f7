"""Profile intervals against lme4's (both of the ML deviance)."""

import numpy as np
import pytest

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.multilevel import VarianceBy, lmm, profile, variance_partition
from tests.parity.reference import load_reference, r_data

REFERENCE = load_reference("lmm_profile")
# lme4 interpolates its profile with splines; ours is solved at the end itself.
END = 1e-4

CASES = {
    "sleepstudy": ("sleepstudy", "Reaction ~ Days + (1 + Days | Subject)"),
    "uncorrelated": ("sleepstudy", "Reaction ~ Days + (1 + Days || Subject)"),
    "pastes": ("Pastes", "strength ~ 1 + (1 | batch/cask)"),
    "penicillin": ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    "dyestuff2": ("Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
}
NAMES = {
    "sd_(Intercept)|Subject": "Subject|sd__(Intercept)",
    "sd_Days|Subject": "Subject|sd__Days",
    "cor_Days.(Intercept)|Subject": "Subject|cor__(Intercept).Days",
    "sd_(Intercept)|cask:batch": "batch:cask|sd__(Intercept)",
    "sd_(Intercept)|batch": "batch|sd__(Intercept)",
    "sd_(Intercept)|plate": "plate|sd__(Intercept)",
    "sd_(Intercept)|sample": "sample|sd__(Intercept)",
    "sd_(Intercept)|Batch": "Batch|sd__(Intercept)",
    "sigma": "Residual|sd__Observation",
}


@pytest.mark.parametrize("name", CASES)
def test_against_lme4(name):
    data, formula = CASES[name]
    table = profile(lmm(formula, r_data("lme4", data), reml=False)).tidy().set_index("term")
    for theirs, low, high in zip(
        *(REFERENCE[name][k] for k in ("names", "low", "high")), strict=True
    ):
        if name == "dyestuff2" and not theirs.startswith("sd_"):
            continue  # lme4's profile breaks off at the boundary there (its upper sigma is NA)
        ours = table.loc[NAMES.get(theirs, theirs)]
        np.testing.assert_allclose(ours["conf_low"], low, rtol=END, atol=END)
        np.testing.assert_allclose(ours["conf_high"], high, rtol=END)


def test_reml_profile_is_the_restricted_one():
    # balanced one-way layout: the restricted profile of sigma has a closed form through the two
    # independent chi-squared sums of squares, so its rise can be written out
    data = r_data("lme4", "Dyestuff")
    model = lmm("Yield ~ 1 + (1 | Batch)", data)
    found = profile(model, terms=["Batch|sd__(Intercept)"])
    assert found.likelihood == "REML"
    groups = data.groupby("Batch")["Yield"]
    within = float(((data["Yield"] - groups.transform("mean")) ** 2).sum())
    between = float(5 * ((groups.mean() - data["Yield"].mean()) ** 2).sum())

    def deviance(sd, sigma2):
        lam = sigma2 + 5 * sd**2
        return 24 * np.log(sigma2) + 5 * np.log(lam) + within / sigma2 + between / lam

    sigmas = np.linspace(0.3, 3.0, 200_001) * within / 24
    at = {sd: deviance(sd, sigmas).min() for sd in (20.0, 80.0)}
    best = deviance(model.covariances()["Batch"].iloc[0, 0] ** 0.5, model.sigma**2)
    for sd, value in at.items():
        assert found.rise("Batch|sd__(Intercept)", [sd])[0] == pytest.approx(value - best, abs=1e-6)


def test_refusals():
    model = lmm("Reaction ~ Days + (1 | Subject)", r_data("lme4", "sleepstudy"))
    with pytest.raises(DataError, match="No parameter 'Dyas'. Did you mean 'Days'?"):
        profile(model, terms=["Dyas"])
    with pytest.raises(DataError, match="restricted likelihood has none"):
        profile(model, terms=["Days"])
    structured = lmm(
        "distance ~ age + (1 | Subject)", r_data("nlme", "Orthodont"), residual=VarianceBy("Sex")
    )
    with pytest.raises(NotIdentifiedError, match="parametric_bootstrap"):
        profile(structured)


SHARES = {
    "dyestuff": ("Dyestuff", "Yield ~ 1 + (1 | Batch)", ["Batch", "Residual"]),
    "dyestuff2": ("Dyestuff2", "Yield ~ 1 + (1 | Batch)", ["Batch", "Residual"]),
    "pastes": (
        "Pastes", "strength ~ 1 + (1 | batch/cask)", ["batch:cask", "batch", "Residual"]
    ),
}  # fmt: skip
# Both sides solve for the end of the interval on one deviance function, to 1e-6 and 1e-10.
SHARE = 1e-5


@pytest.mark.parametrize("name", SHARES)
def test_shares_against_lme4s_deviance_function(name):
    data, formula, groups = SHARES[name]
    shares = variance_partition(lmm(formula, r_data("lme4", data)), ci_method="profile")
    table = shares.tidy().set_index("group")
    for group, (estimate, low, high) in zip(groups, REFERENCE["shares"][name], strict=True):
        ours = table.loc[group]
        assert ours["estimate"] == pytest.approx(estimate, abs=SHARE)
        # where the deviance never rises enough on a side, the share's own limit is the end
        assert ours["conf_low"] == pytest.approx(0.0 if low is None else low, abs=SHARE)
        assert ours["conf_high"] == pytest.approx(1.0 if high is None else high, abs=SHARE)
    assert shares.glance()["method"].iloc[0] == "profile (REML)"
    assert "[" in shares.summary()


def test_shares_sum_to_one_along_their_profiles():
    # with one level the residual's share is what the level leaves, and so is its profile
    model = lmm("Yield ~ 1 + (1 | Batch)", r_data("lme4", "Dyestuff"), reml=False)
    found = variance_partition(model, ci_method="profile").intervals
    values = np.array([0.1, 0.3, 0.7])
    np.testing.assert_allclose(
        found.rise("Batch", values), found.rise("Residual", 1.0 - values), rtol=1e-9
    )
    assert found.likelihood == "ML"
