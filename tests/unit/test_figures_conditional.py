"""Conditional indirect effects are drawn as the result has them."""

import numpy as np
import pandas as pd
import pytest

from alliance_stats import mediation
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.figures import conditional_effects_figure, mediation_figure


def _data(n: int = 80) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=n), rng.normal(size=n)
    m = (0.4 + 0.3 * w) * x + rng.normal(size=n)
    return pd.DataFrame({"x": x, "w": w, "m": m, "y": 0.5 * m + rng.normal(size=n)})


ASKED = {"treatment": "x", "mediator": "m", "outcome": "y", "seed": 1, "n_resamples": 1000}


def test_the_band_is_that_of_the_result() -> None:
    found = mediation(_data(), moderator="w", at=[-1.0, 1.0], **ASKED)
    figure = conditional_effects_figure(found, words={"w": "Hope", "m": "alliance"})
    along = found.conditional([-1.0, 0.0, 1.0])
    expected = along[along["term"] == "indirect through m"].set_index("at")
    drawn = figure.data.set_index("at")
    for at in (-1.0, 0.0, 1.0):
        for column in ("estimate", "conf_low", "conf_high"):
            assert drawn.loc[at, column] == pytest.approx(expected.loc[at, column])
    assert figure.caption.startswith("Indirect effect through alliance of x on y along Hope")
    assert "where w is 0" in mediation_figure(found).note


def test_natural_effects_are_drawn_where_they_were_asked_for() -> None:
    found = mediation(_data(), moderator="w", at=[-1.0, 0.0, 1.0], interaction=True, **ASKED)
    figure = conditional_effects_figure(found, term="natural direct")
    assert list(figure.data["at"]) == [-1.0, 0.0, 1.0]
    assert figure.alt.startswith("Points")


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(NotIdentifiedError, match="no moderator"):
        conditional_effects_figure(mediation(_data(), **ASKED))
    found = mediation(_data(), moderator="w", **ASKED)
    with pytest.raises(DataError, match="no effect of this result"):
        conditional_effects_figure(found, term="indirekt")
    with pytest.raises(DataError, match="no level 'within'"):
        conditional_effects_figure(found, level="within")
    with pytest.raises(NotIdentifiedError, match="at one value"):
        conditional_effects_figure(mediation(_data(), moderator="w", at=[0.0], **ASKED))
