"""What glmm refuses, and in which words."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats.association import regression
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from alliance_stats.multilevel import glmm


@pytest.fixture
def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 120
    therapist = np.repeat(np.arange(10), 12)
    u = rng.standard_normal(10)
    x = rng.standard_normal(n)
    p = 1.0 / (1.0 + np.exp(-(0.5 * x + u[therapist])))
    return pd.DataFrame(
        {
            "therapist": therapist,
            "family": np.repeat(np.arange(40), 3),
            "x": x,
            "role": np.tile(["mother", "father", "child"], 40),
            "event": (rng.random(n) < p).astype(int),
            "count": rng.poisson(2.0 * p),
            "trials": 5,
            "hits": rng.binomial(5, p),
        }
    )


def test_outcome_must_be_zero_or_one(data):
    data.loc[[4, 9], "event"] = 2
    with pytest.raises(DataError, match=r"'event' must be 0 or 1 .* weights=.* in rows 4, 9\."):
        glmm("event ~ x + (1 | therapist)", data)


def test_rate_outcome_must_be_counts(data):
    data["count"] = data["count"].astype(float)
    data.loc[2, "count"] = 1.5
    with pytest.raises(DataError, match=r"'count' must be a count \(0, 1, 2, ...\).* row 2\."):
        glmm("count ~ x + (1 | therapist)", data, family="poisson")


def test_shares_of_trials_are_their_successes(data):
    data["share"] = (data["hits"] / data["trials"]).round(4)
    counted, shared = (
        glmm(f"{name} ~ x + (1 | therapist)", data, weights="trials") for name in ("hits", "share")
    )
    assert counted.log_lik == shared.log_lik


def test_shares_that_are_no_whole_number_of_trials(data):
    data["share"] = data["hits"] / data["trials"]
    data.loc[[3, 8], "share"] = 0.33
    with pytest.raises(DataError, match=r"'share' must be a share of its trials .* rows 3, 8\."):
        glmm("share ~ x + (1 | therapist)", data, weights="trials")


def test_more_successes_than_trials(data):
    data.loc[7, "trials"] = 0
    with pytest.raises(DataError, match=r"'trials' must be a number of trials .* row 7\."):
        glmm("hits ~ x + (1 | therapist)", data, weights="trials")
    data["trials"], data.loc[7, "hits"] = 5, 6
    with pytest.raises(DataError, match=r"'hits' must not exceed its trials 'trials'.* row 7\."):
        glmm("hits ~ x + (1 | therapist)", data, weights="trials")


@pytest.mark.parametrize(("value", "word"), [(0, "0"), (1, "1")])
def test_outcome_that_never_varies(data, value, word):
    data["event"] = value
    with pytest.raises(NotIdentifiedError, match=f"'event' is {word} in all 120 rows"):
        glmm("event ~ x + (1 | therapist)", data)
    with pytest.raises(NotIdentifiedError, match="'count' is 0 in all 120 rows"):
        glmm("count ~ x + (1 | therapist)", data.assign(count=0), family="poisson")


@pytest.mark.parametrize("code", [1e10, 1e15, 1e16, 1e100, 1e300])
def test_codes_among_counts_and_trials(data, code):
    """Found by calls at random: factors of matrices failed, and regressions gave some number."""
    counts = data.assign(count=data["count"].astype(float) + 1.0)
    counts.loc[7, "count"] = code
    words = r"'count' must be a count of at most 1,000,000,000 .* in row 7\."
    for family in ("poisson", "negative binomial", "truncated negative binomial"):
        with pytest.raises(DataError, match=words):
            glmm("count ~ x + (1 | therapist)", counts, family=family)
    with pytest.raises(DataError, match=words):
        regression("count ~ x", counts, family="poisson")
    if code > 1e15:
        with pytest.raises(DataError, match=r"'count' must lie within 1e\+15 times .* in row 7\."):
            glmm("count ~ x + (1 | therapist)", counts, family="gamma")
    trials = data.assign(trials=data["trials"].astype(float))
    trials.loc[7, "trials"] = code
    with pytest.raises(DataError, match="'trials' must be a count of at most"):
        glmm("hits ~ x + (1 | therapist)", trials, weights="trials")


def test_text_outcome(data):
    data["event"] = np.where(data["event"] == 1, "left", "stayed")
    with pytest.raises(DataError, match="'event' must be one numeric column"):
        glmm("event ~ x + (1 | therapist)", data)


def test_separation_names_term_and_cells(data):
    data.loc[data.role == "father", "event"] = 0
    with pytest.raises(
        NotIdentifiedError, match=r"Separation.*role = father \(no event in 40 rows\)\. Join such"
    ):
        glmm("event ~ x + role + (1 | therapist)", data)


def test_separation_of_the_reference_category(data):
    data.loc[data.role == "child", "event"] = 1
    with pytest.raises(NotIdentifiedError, match=r"role = child \(nothing but events in 40 rows\)"):
        glmm("event ~ role + (1 | therapist)", data)


def test_separation_in_a_cell_of_an_interaction(data):
    data["framework"] = np.where(data["therapist"] % 2 == 0, "usual", "informed")
    cell = (data.role == "mother") & (data.framework == "usual")
    data.loc[cell, "event"] = 0
    with pytest.raises(
        NotIdentifiedError, match=r"role = mother, framework = usual \(no event in 20 rows\)"
    ):
        glmm("event ~ role * framework + (1 | therapist)", data)
    # without the interaction the cell is no obstacle
    assert glmm("event ~ role + framework + (1 | therapist)", data).convergence.converged


def test_separation_of_a_coded_number_and_of_a_dummy(data):
    data["session"] = np.tile([1, 2, 3, 4], 30)
    data["trauma"] = (data["x"] > 0.5).astype(int)
    data.loc[(data.session == 4) | (data.trauma == 1), "event"] = 0
    with pytest.raises(
        NotIdentifiedError, match=r"session = 4 \(no event in 30 rows\); trauma = 1"
    ):
        glmm("event ~ C(session) + trauma + (1 | therapist)", data)


def test_separation_along_a_number(data):
    data["event"] = (data["x"] > 0.1).astype(int)
    with pytest.raises(NotIdentifiedError, match=r"Separation.*A combination of .*x.* in rows"):
        glmm("event ~ x + (1 | therapist)", data)


def test_separation_of_counts(data):
    data.loc[data.role == "father", "count"] = 0
    with pytest.raises(NotIdentifiedError, match=r"role = father \(no event in 40 rows\)"):
        glmm("count ~ role + (1 | therapist)", data, family="poisson")


def test_one_row_a_unit(data):
    data["row"] = np.arange(len(data))
    with pytest.raises(NotIdentifiedError, match="Every unit of 'row' has one row"):
        glmm("event ~ x + (1 | row)", data)
    # for counts such an effect is overdispersion, and identified
    assert glmm("count ~ x + (1 | row)", data, family="poisson").nobs == 120


def test_units_that_never_vary_within(data):
    data["event"] = (data["family"] % 2).to_numpy()
    with pytest.raises(
        NotIdentifiedError, match=r"'event' never varies within a unit of 'family' \(40 units\)"
    ):
        glmm("event ~ x + (1 | family)", data)


def test_copies_of_one_event_let_the_variance_run_away():
    # a family's rows share one ending: discrete hazards of its members are the same rows thrice
    rng = np.random.default_rng(5)
    rows = [
        (family, session, int(session == last and family % 3 > 0))
        for family, last in enumerate(rng.integers(1, 7, 60))
        for session in range(1, last + 1)
        for _member in range(6)
    ]
    data = pd.DataFrame(rows, columns=["family", "session", "event"])
    with pytest.raises(NotIdentifiedError, match=r"The SD of \(1 \| family\) ran to .* copies"):
        glmm("event ~ session + (1 | family)", data, link="cloglog")


def test_quadrature_where_it_is_not_defined(data):
    data["item"], data["trials2"] = data.index % 4, data["hits"] + 0.5
    with pytest.raises(ValueError, match=r"nodes=9 is for one or two .* has .*item.*Use nodes=1"):
        glmm("event ~ x + (1 | therapist) + (1 | item)", data, nodes=9)
    with pytest.raises(ValueError, match=r"nodes=9 is for .* has \(1 \+ x \+ trials2 \| therapist"):
        glmm("event ~ x + (1 + x + trials2 | therapist)", data, nodes=9)
    with pytest.raises(ValueError, match="Two effects need nodes=9 or more"):
        glmm("event ~ x + (1 | therapist/family)", data, nodes=5)
    with pytest.raises(ValueError, match="nodes must be a whole number from 1 to 100; got 0"):
        glmm("event ~ x + (1 | therapist)", data, nodes=0)


def test_unknown_family_or_link(data):
    with pytest.raises(ValueError, match="family must be 'binomial', .* or 'beta'; got 'normal'"):
        glmm("event ~ x + (1 | therapist)", data, family="normal")
    with pytest.raises(ValueError, match="binomial family has the links 'logit', .* got 'log'"):
        glmm("event ~ x + (1 | therapist)", data, link="log")


def test_no_random_term(data):
    with pytest.raises(FormulaError, match="has no random term"):
        glmm("event ~ x", data)


def test_weights_are_trials(data):
    with pytest.raises(ValueError, match="weights= are trials"):
        glmm("count ~ x + (1 | therapist)", data, family="poisson", weights="trials")
    with pytest.raises(DataError, match="no column 'trial'. Did you mean 'trials'"):
        glmm("hits ~ x + (1 | therapist)", data, weights="trial")


def test_offset_must_be_finite(data):
    data["exposure"] = 0.0
    data.loc[3, "exposure"] = np.inf
    with pytest.raises(DataError, match="'exposure' is infinite in row 3"):
        glmm("count ~ x + (1 | therapist)", data, family="poisson", offset="exposure")


def test_missing_trials_and_offsets_are_counted(data):
    data["exposure"] = 0.0
    data.loc[[3, 5], "exposure"] = np.nan
    data["trials"] = data["trials"].astype(float)
    data.loc[8, "trials"] = np.nan
    model = glmm("hits ~ x + (1 | therapist)", data, weights="trials", offset="exposure")
    assert model.nobs == 117
    assert "2 set aside: 'exposure' is missing" in str(model.rows)
    assert "1 set aside: 'trials' is missing" in str(model.rows)


def test_prediction_for_an_unknown_unit(data):
    model = glmm("event ~ x + (1 | therapist)", data)
    new = data.head(1).assign(therapist=99)
    said = r"1 unit\(s\) of 'therapist' that the fit has not seen .* or new_units='average'"
    with pytest.raises(DataError, match=said):
        model.predict(new, level="conditional")
    assert len(model.predict(new)) == 1


def test_prediction_without_its_offset(data):
    data["exposure"] = 0.1
    model = glmm("count ~ x + (1 | therapist)", data, family="poisson", offset="exposure")
    with pytest.raises(DataError, match="newdata has no column 'exposure'"):
        model.predict(data[["x", "therapist"]])


def test_what_cannot_be_asked(data):
    model = glmm("event ~ x + (1 | therapist)", data, link="probit")
    with pytest.raises(ValueError, match="probit link has no ratio"):
        model.median_ratios()
    with pytest.raises(ValueError, match="level must be one of"):
        model.predict(data, level="marginal")
    with pytest.raises(ValueError, match="new_units must be one of"):
        model.predict(data, level="conditional", new_units="zero")
    with pytest.raises(DataError, match=r"shape \(3,\); the model used 120 rows"):
        model.refit([0, 1, 0])


def test_profile_limits_of_a_term_with_slopes(data):
    model = glmm("event ~ x + (1 + x | therapist)", data)
    with pytest.raises(ValueError, match="with slopes use method='wald'"):
        model.median_ratios()
    assert len(model.median_ratios(ci_method="wald")) == 1
