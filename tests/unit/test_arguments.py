"""An argument of another type is refused in words, or means what it says; none is passed over."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import (
    Study,
    compare_groups,
    compare_themes,
    contrasts,
    cumulative_incidence,
    estimated_means,
    gray_test,
    lmm,
    log_rank,
    regression,
    wild_bootstrap,
)
from alliance_stats.errors import AllianceStatsError

SESSIONS = pd.DataFrame(
    {
        "person": ["a", "a", "b", "b"],
        "session": [1, 2, 1, 2],
        "wai": [-9.9, 5.0, 3.0, 2.5],
        "age": [1, 99, 3, 4],
        "end": ["dropout"] * 2 + ["planned"] * 2,
    }
)
DRAWN = np.random.default_rng(4)
N = 40
ROWS = pd.DataFrame(
    {
        "y": DRAWN.normal(size=N),
        "group": ["a", "b"] * (N // 2),
        "theme": DRAWN.integers(0, 2, N),
        "time": DRAWN.integers(1, 6, N),
        "event": DRAWN.integers(0, 2, N),
        "cluster": np.arange(N) // 4 * 2 + np.arange(N) % 2,
        "rated": DRAWN.integers(0, 3, N).astype(float),
    }
)
MODEL = lmm("y ~ group + (1 | cluster)", ROWS)


def study(data=SESSIONS, **given):
    return Study.from_frame(data, person="person", session="session", alliance="wai", **given)


@pytest.mark.parametrize("given", [None, "x", ["x"], {"age": [99]}, [np.nan], [True], [None]])
def test_codes_for_missing_are_numbers(given):
    with pytest.raises(AllianceStatsError, match="missing= takes the numbers"):
        study(missing=given)


@pytest.mark.parametrize("given", [99, "99", (99,), ["99"], {99}, np.array([99.0])])
@pytest.mark.parametrize(
    "dress", [lambda x: x, pd.Categorical, lambda x: x.astype(object), lambda x: x.astype("Int64")]
)
def test_a_code_is_missing_in_whatever_type_of_column(given, dress):
    found = study(SESSIONS.assign(age=dress(SESSIONS["age"])), missing=given)
    assert list(found.sessions["age"].isna()) == [False, True, False, False]
    assert "1 value in 'age'" in found.notes[0]


def test_a_step_that_nobody_used_stays_when_codes_go():
    steps = pd.Categorical([3, 99, 1, 3], categories=[1, 2, 3, 99], ordered=True)
    found = study(SESSIONS.assign(step=steps), missing=99).sessions["step"]
    assert list(found.cat.categories) == [1, 2, 3]
    assert found.cat.ordered
    assert list(found.isna()) == [False, True, False, False]


def test_a_code_with_decimals_is_found_in_single_precision():
    """Stata keeps -9.9 as -9.8999996, which is no score."""
    single = SESSIONS.assign(wai=SESSIONS["wai"].astype("float32"))
    assert study(single, missing=[-9.9]).sessions["wai"].isna().sum() == 1


@pytest.mark.parametrize("given", [9.5, "9", 0, True, None])
@pytest.mark.parametrize(
    "asked",
    [
        lambda n: compare_groups(ROWS, outcomes="y", group="group", n_resamples=n),
        lambda n: compare_themes(ROWS, themes="theme", group="group", n_resamples=n),
        lambda n: log_rank(
            ROWS, time="time", event="event", group="group", cluster="cluster", n_resamples=n
        ),
        lambda n: gray_test(
            ROWS, time="time", event="event", group="group", cluster="cluster", n_resamples=n
        ),
        lambda n: wild_bootstrap(MODEL, "cluster", n_resamples=n, seed=1),
    ],
)
def test_a_number_of_draws_is_a_whole_number(asked, given):
    with pytest.raises(ValueError, match="n_resamples must be a whole number"):
        asked(given)


@pytest.mark.parametrize("seed", ["a", 1.5, -1, True])
def test_a_seed_is_a_whole_number_or_a_generator(seed):
    for asked in (
        lambda: compare_groups(
            ROWS, outcomes="y", group="group", test="permutation", n_resamples=9, seed=seed
        ),
        lambda: wild_bootstrap(MODEL, "cluster", n_resamples=99, seed=seed),
    ):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            asked()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (lambda: study(scores=["age"]), "scores= takes a dictionary"),
        (lambda: study(scores="age"), "scores= takes a dictionary"),
        (lambda: study(ending="end", endings=["dropout"]), "endings= takes a dictionary"),
        (lambda: MODEL.summary(words=["y"]), "words= takes a dictionary"),
        (
            lambda: contrasts(estimated_means(MODEL, "group"), method={"c": "ab"}),
            "takes a list of numbers",
        ),
        (
            lambda: cumulative_incidence(ROWS, time="time", event="event", censored=[0]),
            r"does not hold \[0\]",
        ),
    ],
)
def test_another_type_is_refused_in_words(asked, says):
    with pytest.raises((AllianceStatsError, TypeError), match=says):
        asked()


def test_whole_ratings_name_their_thresholds_as_whole_numbers():
    terms = regression("rated ~ y", ROWS, family="ordinal").tidy()["term"]
    assert list(terms) == ["y", "0|1", "1|2"]
