"""Figures of correlations and of regressions."""

import functools

import numpy as np
import pandas as pd

from alliance_stats.association import Correlations, Mediation, correlations, mediation
from alliance_stats.figures import (
    conditional_effects_figure,
    correlation_figure,
    mediation_figure,
)
from tests.figure_lint.cases.data import EASTERN

LONG = "alliance as the client rates it after the session"


@functools.cache
def scores(k: int = 4, *, within: bool = False) -> pd.DataFrame:
    """Return k scores of 40 persons (in 4 sessions), every second one turned round."""
    rng = np.random.default_rng(5)
    persons = np.repeat(np.arange(40), 4 if within else 1)
    level = rng.normal(size=40)[persons]
    columns = {
        f"score {i + 1}": (-1) ** i * level + rng.normal(size=len(persons)) * (1 + i) / 2
        for i in range(k)
    }
    return pd.DataFrame({"person": persons, **columns})


def found(k: int = 4) -> Correlations:
    return correlations(scores(k), [f"score {i + 1}" for i in range(k)])


def both() -> Correlations:
    return correlations(
        scores(within=True), ["score 1", "score 2", "score 3", "score 4"], within="person"
    )


@functools.cache
def mediated(factor: float = 1.0, name: str = "alliance", **options: object) -> Mediation:
    """Return a mediation in 60 cases of 15 units, in units of `factor`."""
    rng = np.random.default_rng(3)
    unit = np.repeat(np.arange(15), 4)
    x = rng.normal(size=15)[unit] + rng.normal(size=60)
    m = 0.5 * x + rng.normal(size=15)[unit] + rng.normal(size=60)
    y = 0.5 * m + rng.normal(size=15)[unit] + rng.normal(size=60)
    data = pd.DataFrame(
        {
            "barrier": x,
            name: m,
            "symptoms": factor * y,
            "unit": unit,
            "hope": rng.normal(size=60) + m,
        }
    )
    asked = {"mediator": name} | options
    return mediation(
        data, treatment="barrier", outcome="symptoms", seed=1, n_resamples=2000, **asked
    )


CASES = {
    mediation_figure: {
        "mediation": lambda: mediation_figure(mediated()),
        "mediation, two levels": lambda: mediation_figure(mediated(nested_in="unit")),
        "mediation, serial": lambda: mediation_figure(
            mediated(mediator=("alliance", "hope"), serial=True)
        ),
        "mediation, moderated": lambda: mediation_figure(mediated(moderator="hope")),
        "mediation, random slopes": lambda: mediation_figure(
            mediated(nested_in="unit", random_slopes=("a", "b"))
        ),
        "mediation, natural": lambda: mediation_figure(mediated(interaction=True)),
        "mediation, huge": lambda: mediation_figure(mediated(1e5)),
        "mediation, tiny": lambda: mediation_figure(mediated(1e-4)),
        "mediation, long names": lambda: mediation_figure(mediated(name=LONG)),
    },
    conditional_effects_figure: {
        "conditional": lambda: conditional_effects_figure(mediated(moderator="hope")),
        "conditional, natural": lambda: conditional_effects_figure(
            mediated(moderator="hope", interaction=True)
        ),
        "conditional, huge": lambda: conditional_effects_figure(mediated(1e5, moderator="hope")),
        "conditional, long names": lambda: conditional_effects_figure(
            mediated(name=LONG, moderator="hope")
        ),
    },
    correlation_figure: {
        "correlations": lambda: correlation_figure(found()),
        "correlations, within and between": lambda: correlation_figure(both()),
        "correlations, two": lambda: correlation_figure(found(2)),
        "correlations, twelve": lambda: correlation_figure(found(12)),
        "correlations, long names": lambda: correlation_figure(
            found(), words={"score 1": LONG, "score 2": EASTERN[0]}
        ),
    },
}
