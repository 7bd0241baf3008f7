"""Joint models of outcome and leaving against sums over dense even grids, climbed by optim."""

import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats.survival import SharedParameterModel, shared_parameter
from alliance_stats.survival.unseen.shared_likelihood import Rule, log_likelihood, placed
from tests.parity.reference import load_reference

REFERENCE = load_reference("survival_joint")
# optim stops where the log-likelihood of some -350 changes by 1e-12; the grids end at 6 SDs.
LOG_LIK = 1e-5
# So an estimate is good to the root of that, in its standard errors.
ESTIMATE = 5e-3
# optimHess takes differences of a step of 1e-3 of each parameter's unit.
ERROR = 5e-3
LEVEL, THERAPISTS = "y ~ time + x + (1 | id)", " + (1 | therapist)"
ASKED: dict[str, tuple[str, dict[str, object]]] = {
    "plain": (LEVEL, {}),
    "sparse": (LEVEL, {"link": "logit"}),
    "value": (LEVEL + THERAPISTS, {"association": "value", "link": "logit"}),
    "shared": (LEVEL + THERAPISTS, {}),
    "hazard": (LEVEL, {"random": "(1 | therapist)"}),
    "boundary": (LEVEL, {"random": "(1 | therapist)"}),
    "correlated": (LEVEL + THERAPISTS, {"random": "(1 | therapist)", "nodes": 5}),
}


def fitted(name: str) -> SharedParameterModel:
    formula, options = ASKED[name]
    frames = [pd.DataFrame(REFERENCE[name]["data"][part]) for part in ("outcomes", "periods")]
    return shared_parameter(
        formula, "x", *frames, session="session", event="event", unit="id", baseline="log",
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["plain", "sparse", "value", "shared", "boundary", "hazard"])
def test_the_maximum_and_its_errors_are_those_of_dense_integration(name: str) -> None:
    model, reference = fitted(name), REFERENCE[name]
    assert model.converged
    assert model.found.stands
    assert model.n_unrated == 3
    assert_allclose(model.log_lik, reference["log_lik"], atol=model.nodes * LOG_LIK)
    table = model.tidy()
    where = [0, 1, 2, 5, 6, 7, 8, *([10] if name == "shared" else [])]
    order = [0, 1, 2, 3, 4, 5, 6, *([7] if name == "shared" else [])]
    expected = pd.DataFrame({"par": reference["par"], "se": reference["se"]}).iloc[where]
    found = table.iloc[order]
    assert_allclose(
        found["estimate"] / expected["se"].to_numpy(),
        expected["par"].to_numpy() / expected["se"].to_numpy(),
        atol=ESTIMATE,
    )
    assert_allclose(found["std_error"], expected["se"], rtol=ERROR)
    spread = model.tidy(effects="ran_pars").set_index(["part", "group"])["estimate"]
    if name in ("value", "shared"):
        assert_allclose(spread["outcome", "therapist"], abs(reference["par"][9]), rtol=ERROR)
    if name == "hazard":
        assert_allclose(spread["hazard", "therapist"], abs(reference["par"][9]), rtol=ERROR)
    if name == "boundary":  # both find it
        assert_allclose([spread["hazard", "therapist"], reference["par"][9]], 0.0, atol=1e-4)
        assert any("is estimated as zero, its boundary" in note for note in model.notes)


def test_therapists_with_effects_of_both_kinds() -> None:
    model, reference = fitted("correlated"), REFERENCE["correlated"]
    at = reference["par"]
    # its order: b's SD, sigma, therapists' SD, hazard, associations of b and v, hazard's SD
    own = [*at[:5], at[9], *at[5:9], at[10], at[11]]
    rules = (Rule.of(13, 1), Rule.of(13, 2))
    places = placed(own, model.data, rules[0])
    found = log_likelihood(own, model.data, rules, places)[0].sum()
    assert_allclose(found, reference["log_lik"], atol=1e-3)  # a grid of 25 by 25
    assert model.log_lik > found
