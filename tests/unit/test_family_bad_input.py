"""What no family can have, asked of each: an error that says what was found and where."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import glmm, ordinal
from alliance_stats.errors import DataError, FormulaError, NotIdentifiedError
from tests.simulation.family_coverage import FAMILIES, study

COUNTS = [f for f in FAMILIES if "poisson" in f or "negative" in f]
OPEN = ("gamma", "beta")  # any number in a range
REFUSED = (DataError, NotIdentifiedError)


def fit(family, data, formula="y ~ x + (1 | unit)", **options):
    if family == "ordinal":
        return ordinal(formula, data)
    weights = "trials" if family == "beta-binomial" else None
    return glmm(formula, data, family=family, weights=weights, **options)


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    return request.param, study(request.param, 5, 1)


def with_value(data, value, row=3):
    y = data["y"].astype(float).to_numpy().copy()
    y[row] = value
    return data.assign(y=y)


def test_decimals(case):
    family, data = case
    if family in OPEN or family == "ordinal":  # numbers in an order are steps
        return
    with pytest.raises(DataError, match="in row 3"):
        fit(family, with_value(data, 1.5))


def test_numbers_below_zero_and_infinite_ones(case):
    family, data = case
    if family != "ordinal":
        with pytest.raises(DataError, match="in row 3"):
            fit(family, with_value(data, -1.0))
    with pytest.raises(DataError, match="infinite|in row 3"):
        fit(family, with_value(data, np.inf))


def test_zero_where_there_is_none(case):
    family, data = case
    if "truncated" in family or family in OPEN:
        with pytest.raises(DataError, match="in row 3"):
            fit(family, with_value(data, 0.0))
    if family == "beta":
        with pytest.raises(DataError, match="Smithson"):
            fit(family, with_value(data, 1.0))


def test_an_outcome_that_never_varies(case):
    family, data = case
    tells = family in COUNTS or family == "beta-binomial"  # 1 in each row is a rate, or a share
    for value in (0.0, 1.0):
        if value and tells and "truncated" not in family:
            assert fit(family, data.assign(y=value)).singular
            continue
        with pytest.raises(REFUSED, match="rows used|in rows"):
            fit(family, data.assign(y=value))


def test_all_of_the_trials():
    data = study("beta-binomial", 5, 1)
    with pytest.raises(NotIdentifiedError, match="nothing distinguishes"):
        fit("beta-binomial", data.assign(y=data["trials"]))
    with pytest.raises(DataError, match="must not exceed"):
        fit("beta-binomial", with_value(data, 9.0))


def test_text(case):
    family, data = case
    with pytest.raises(DataError, match="text|number|numeric"):
        fit(family, data.assign(y=data["y"].astype(str) + " times"))


def test_offsets_that_are_no_number(case):
    family, data = case
    for value in (np.inf, -np.inf):
        bad = data.assign(known=np.where(np.arange(len(data)) == 3, value, 0.0))
        with pytest.raises(DataError, match="infinite|in row 3"):
            fit(family, bad, "y ~ x + offset(known) + (1 | unit)")
        if family != "ordinal":
            with pytest.raises(DataError, match="infinite|in row 3"):
                fit(family, bad, offset="known")


def test_units_of_one_row(case):
    family, data = case
    alone = data.assign(unit=np.arange(len(data)))
    if family in ("poisson", "truncated poisson"):  # a random effect a row is their dispersion
        assert fit(family, alone).fit.problem.n == len(data)
        return
    with pytest.raises(NotIdentifiedError, match="one row"):
        fit(family, alone)


def test_a_column_and_a_frame_that_are_not_there(case):
    family, data = case
    with pytest.raises((DataError, FormulaError), match="'unt'|unit"):
        fit(family, data, "y ~ x + (1 | unt)")
    with pytest.raises(DataError):
        fit(family, data.iloc[:0])


@pytest.mark.parametrize("family", COUNTS)
def test_counts_that_hardly_vary_are_those_of_the_family_at_the_limit(family):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"unit": np.repeat(range(6), 8), "x": rng.normal(size=48)})
    y = np.full(48, 1.0)
    y[[5, 20, 40]] = 2.0
    model = fit(family, data.assign(y=y))
    limit = fit("truncated poisson" if "truncated" in family else "poisson", data.assign(y=y))
    assert model.log_lik == pytest.approx(limit.log_lik, abs=1e-8)
    said = [note for note in model.notes if "scatter no more" in note]
    assert len(said) == ("negative" in family)


def test_counts_of_a_logarithmic_series_do_not_tell_their_zeros():
    y = np.random.default_rng(2).logseries(0.6, 600).astype(float)
    data = pd.DataFrame({"unit": np.repeat(range(20), 30), "y": y})
    with pytest.raises(NotIdentifiedError, match="logarithmic series"):
        fit("truncated linear negative binomial", data, "y ~ 1 + (1 | unit)")


def test_steps_that_cannot_be_fitted():
    data = study("ordinal", 5, 1)
    two = data.assign(y=(data["y"] > 1) * 1)
    with pytest.raises(DataError, match="glmm"):
        ordinal("y ~ x + (1 | unit)", two)
    named = data["y"].map({0: "a", 1: "b", 2: "c", 3: "d", 4: "e"})
    with pytest.raises(DataError, match="no order"):
        ordinal("y ~ x + (1 | unit)", data.assign(y=named))
    with pytest.raises(DataError, match="without an order"):
        ordinal("y ~ x + (1 | unit)", data.assign(y=named.astype("category")))
    empty = pd.Categorical(named, categories=list("abcdef"), ordered=True)
    model = ordinal("y ~ x + (1 | unit)", data.assign(y=empty))
    assert any("step f" in note for note in model.notes)
    assert list(model.predict(data.head(2)).columns) == list("abcdef")
    # thresholds that would cross where effects differ between them
    turned = data.assign(x=np.where(data["y"] == 2, 4.0, data["x"]))
    with pytest.raises(NotIdentifiedError, match="without error"):
        ordinal("y ~ x + (1 | unit)", turned, nominal="~ x")
