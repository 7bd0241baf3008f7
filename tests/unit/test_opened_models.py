"""What a model lets others open: its columns by name, residuals, rows with predictors, draws."""

import numpy as np
import pandas as pd
import pytest

import alliance_stats as als
from tests.fuzz.frames import frames

SESSIONS = frames()["sessions"].sample(frac=1.0, random_state=1)  # labels are not in order
SESSIONS.iloc[3, SESSIONS.columns.get_loc("alliance")] = np.nan
FORMS, UNITS = frames()["forms"], frames()["units"]
EXACT = 1e-10


def test_the_columns_of_a_model_give_what_it_fits():
    model = als.lmm("symptoms ~ alliance * role + (1 | person)", SESSIONS)
    X = model.design_matrix()
    assert list(X.columns) == model.tidy()["term"].tolist()
    assert X.index.equals(SESSIONS.index[SESSIONS["alliance"].notna()])
    rows = model.augment()
    b = model.tidy().set_index("term")["estimate"]
    np.testing.assert_allclose(X @ b, rows["fitted_marginal"], atol=EXACT)
    for column in ("alliance", "role", "person", "symptoms"):
        own = SESSIONS.loc[rows.index, column]
        assert rows[column].equals(own.astype(rows[column].dtype))
    np.testing.assert_allclose(model.residuals(), rows["symptoms"] - rows["fitted"], atol=EXACT)
    np.testing.assert_allclose(model.residuals("marginal"), rows["symptoms"] - X @ b, atol=EXACT)
    assert model.residuals("standardised").std() == pytest.approx(1.0, abs=0.3)
    with pytest.raises(ValueError, match="kind"):
        model.residuals("deviance")


def test_columns_of_the_data_that_are_called_as_ours_keep_both():
    data = SESSIONS.rename(columns={"alliance": "fitted", "symptoms": "outcome"})
    rows = als.lmm("outcome ~ fitted + (1 | person)", data).augment()
    assert rows.columns.is_unique
    assert rows["fitted (data)"].equals(data.loc[rows.index, "fitted"])
    assert rows["outcome (data)"].equals(rows["outcome"].rename("outcome (data)"))


def test_generalized_and_ordinal_models_and_regressions_too():
    model = als.glmm("rupture ~ alliance + role + (1 | person)", SESSIONS)
    rows = model.augment()
    assert rows["alliance"].equals(SESSIONS.loc[rows.index, "alliance"])
    np.testing.assert_allclose(model.residuals(), rows["rupture"] - rows["fitted"], atol=EXACT)
    assert (model.residuals("pearson") / model.residuals() > 0).all()
    assert list(model.design_matrix()) == model.tidy()["term"].tolist()
    steps = als.ordinal("rated ~ before + (1 | site)", FORMS)
    assert "before" in steps.design_matrix()
    for family, outcome in (("linear", "after"), ("logistic", "well"), ("poisson", "sessions")):
        found = als.regression(f"{outcome} ~ before + arm", FORMS, family=family)
        rows = found.augment()
        assert rows["before"].equals(FORMS["before"])
        np.testing.assert_allclose(found.residuals(), FORMS[outcome] - rows["fitted"], atol=EXACT)
        assert found.design_matrix().shape == (60, 3)


def test_covariates_of_a_cox_model_by_name():
    model = als.cox_ph("barriers + group", UNITS, time="time", event="event")
    X = model.design_matrix()
    assert list(X) == list(model.tidy()["term"])
    np.testing.assert_allclose(X["barriers"], UNITS["barriers"] - UNITS["barriers"].mean())


def test_draws_of_a_bootstrap_are_a_frame():
    model = als.lmm("symptoms ~ alliance + (1 | person)", SESSIONS)
    draws = als.parametric_bootstrap(model, n_resamples=4, seed=1, workers=1).draws
    assert isinstance(draws, pd.DataFrame)
    assert draws.shape[0] == 4
    assert "alliance" in draws
