"""Ratings in steps against ordinal::clmm and clmm2: links, thresholds, nested, crossed, slopes."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import ordinal
from tests.parity.reference import load_reference

R = load_reference("ordinal_clmm")
FITS = R["fits"]
# clmm's outer search leaves gradients of up to 4e-3; ours ends at 1e-8 and never lower
LOG_LIK = 2e-6
ESTIMATE = 5e-4  # in standard errors, as far as clmm's gradients let it come
VARIANCE = 1e-4  # relative
STD_ERROR = 1e-4  # relative: clmm differentiates a deviance of that noise twice
# where the noise of clmm's inner steps enters its second differences more
NOISY = {"wine": 2e-2, "slopes": 2e-3, "cloglog": 1e-2}
MODELS = {
    "wine": ("rating ~ temp + contact + (1 | judge)", {}),
    "person": ("rating ~ session + role + (1 | person)", {}),
    "nested": ("rating ~ session + role + age + (1 | therapist/family/person)", {}),
    "crossed": ("rating ~ session + role + (1 | person) + (1 | room)", {}),
    "slopes": ("rating ~ session + role + (1 + session | person)", {}),
    "probit": ("rating ~ session + role + (1 | family/person)", {"link": "probit"}),
    "cloglog": ("rating ~ session + role + (1 | family/person)", {"link": "cloglog"}),
    "symmetric": ("rating ~ session + role + (1 | person)", {"thresholds": "symmetric"}),
    "equidistant": ("rating ~ session + role + (1 | person)", {"thresholds": "equidistant"}),
}


def data_of(name):
    data = pd.DataFrame(R["wine" if name == "wine" else "data"])
    return data.assign(rating=data["rating"].astype(float))


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_clmms(name):
    formula, options = MODELS[name]
    model, reference = ordinal(formula, data_of(name), **options), FITS[name]
    assert model.convergence.converged
    assert model.log_lik == pytest.approx(reference["log_lik"], abs=LOG_LIK)
    assert model.log_lik > reference["log_lik"] - 1e-9
    assert model.glance()["n_parameters"].item() == reference["n_parameters"]
    thresholds = model.tidy(effects="thresholds")
    ours = pd.concat([thresholds, model.tidy()]).reset_index(drop=True)
    theirs = pd.DataFrame({k: reference[k] for k in ("names", "estimate", "std_error")})
    if name in ("symmetric", "equidistant"):  # parameters of thresholds, not thresholds
        theirs = theirs.tail(3)
        ours = ours.tail(3)
    off = np.abs(ours["estimate"].to_numpy() - theirs["estimate"].to_numpy())
    assert (off < ESTIMATE * theirs["std_error"].to_numpy()).all()
    np.testing.assert_allclose(
        ours["std_error"], theirs["std_error"], rtol=NOISY.get(name, STD_ERROR)
    )
    for group, covariance in model.covariances().items():
        expected = reference["variances"][group.split(":")[-1]]
        np.testing.assert_allclose(covariance, expected, rtol=VARIANCE)


def test_thresholds_with_a_form_have_that_form():
    data = data_of("person")
    formula = MODELS["person"][0]
    even = ordinal(formula, data, thresholds="equidistant")
    found = even.tidy(effects="thresholds")["estimate"].to_numpy()
    reference = dict(
        zip(FITS["equidistant"]["names"], FITS["equidistant"]["estimate"], strict=True)
    )
    np.testing.assert_allclose(np.diff(found), reference["spacing"], rtol=1e-4)
    mirrored = ordinal(formula, data, thresholds="symmetric")
    found = mirrored.tidy(effects="thresholds")["estimate"].to_numpy()
    assert found[0] + found[3] == pytest.approx(found[1] + found[2])


def test_published_numbers_of_the_wine_tutorial():
    # Christensen, "A Tutorial on fitting Cumulative Link Mixed Models with clmm2", Laplace
    table = ordinal(MODELS["wine"][0], data_of("wine")).tidy().set_index("term")
    assert table.loc["temp[T.warm]", "estimate"] == pytest.approx(3.0630, abs=5e-5)
    assert table.loc["temp[T.warm]", "std_error"] == pytest.approx(0.5954, abs=5e-5)
    assert table.loc["contact[T.yes]", "estimate"] == pytest.approx(1.8349, abs=5e-5)
    assert table.loc["contact[T.yes]", "std_error"] == pytest.approx(0.5125, abs=1e-4)


def test_one_random_intercept_is_clmm2s():
    model, reference = ordinal(MODELS["person"][0], data_of("person")), FITS["clmm2"]
    assert model.log_lik == pytest.approx(reference["log_lik"], abs=LOG_LIK)
    ours = pd.concat([model.tidy(effects="thresholds"), model.tidy()])
    np.testing.assert_allclose(ours["estimate"], reference["estimate"][:-1], atol=2e-5)
    np.testing.assert_allclose(ours["std_error"], reference["std_error"][:-1], rtol=STD_ERROR)
    sd = model.tidy(effects="ran_pars")["estimate"].item()
    assert sd == pytest.approx(reference["sd"], rel=1e-5)
