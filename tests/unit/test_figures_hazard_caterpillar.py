"""Therapists' hazards in order: what is drawn, counted, said and refused."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from alliance_stats import cox_ph
from alliance_stats.errors import DataError
from alliance_stats.figures import hazard_caterpillar_figure
from tests.figure_lint.cases.survival import courses
from tests.figure_lint.cases.survival import hazard_of_therapists as fitted


def test_it_draws_the_predicted_effects_as_ratios_with_what_was_seen() -> None:
    data = courses()
    model = fitted(data)
    report = hazard_caterpillar_figure(model, group="therapist", units_label="families")
    drawn = report.data.set_index("level")
    effects = model.tidy(effects="ran_vals").set_index("level")
    for column in ("estimate", "conf_low", "conf_high"):
        assert_allclose(drawn[column], np.exp(effects.loc[drawn.index, column].astype(float)))
    assert drawn["estimate"].is_monotonic_increasing
    by_therapist = data.groupby("therapist")
    assert_allclose(drawn["n_event"], by_therapist["event"].sum()[drawn.index])
    assert (drawn["n_units"] == 8).all()
    ax = report.figure.axes[0]
    squares = [line for line in ax.get_lines() if line.get_gid() == "estimate"]
    assert_allclose([line.get_xdata()[0] for line in squares], drawn["estimate"])
    first = drawn.index[0]
    assert f"Lowest {first} (" in report.alt
    assert f"{drawn['n_event'].iloc[0]} of 8)" in report.alt
    assert "median hazard ratio between two drawn at random" in report.caption
    assert f"{first} ({drawn['n_event'].iloc[0]} of 8)" in [text.get_text() for text in ax.texts]


def test_odds_are_called_odds_and_nodes_are_named() -> None:
    model = fitted(courses(), link="logit", nodes=5)
    report = hazard_caterpillar_figure(model, group="therapist", event_label="dropping out")
    assert report.caption.startswith("Odds ratio of dropping out of 20 therapists")
    assert "logit link, 5 quadrature nodes" in report.note


def test_groups_of_several_columns() -> None:
    data = courses().assign(site=lambda d: np.where(d["therapist"] < "T010", "north", "south"))
    model = fitted(data, random="(1 | site:therapist)")
    drawn = hazard_caterpillar_figure(model, group="site:therapist").data
    assert set(drawn["level"].str.partition(":")[0]) == {"north", "south"}
    assert drawn["n_units"].sum() == data["family"].nunique()


def test_an_order_of_chance_is_refused() -> None:
    data = courses()
    last = data.groupby("family").tail(1).sort_values(["session", "event", "family"])
    dealt = {family: f"T{i % 20:02}" for i, family in enumerate(last["family"])}
    alike = fitted(data.assign(therapist=data["family"].map(dealt)))
    with pytest.raises(DataError, match="estimated as zero: .* their order would be arbitrary"):
        hazard_caterpillar_figure(alike, group="therapist")
    with pytest.raises(DataError, match="no random intercept of 'therpist'. Did you mean"):
        hazard_caterpillar_figure(fitted(data), group="therpist")
    with pytest.raises(DataError, match="no random effects"):
        hazard_caterpillar_figure(fitted(data, random=None), group="therapist")


def test_who_left_where_everyone_did_is_said_not_to_be_counted() -> None:
    data = courses(8)
    data = data[data["session"] < 5]
    data = data.assign(event=data["event"].where(data["session"] < 4, 1.0))
    report = hazard_caterpillar_figure(fitted(data), group="therapist", units_label="families")
    last = int((data["session"] == 4).sum())
    assert report.data["n_event"].sum() == data["event"].sum() - last
    said = f"how many of its families left (not counted: {last} who left after a session after"
    assert said in report.caption
    usual = hazard_caterpillar_figure(fitted(courses(8)), group="therapist")
    assert "not counted" not in usual.caption


@pytest.mark.parametrize("frailty", ["therapist", ("family", "therapist")])
def test_frailties_of_cox_models_are_drawn(frailty: str | tuple[str, str]) -> None:
    last = courses().groupby("family").tail(1)
    times = pd.concat([last, last.assign(session=last["session"].clip(upper=2), event=0)])
    times = times.assign(late=np.arange(len(times)) % 3)
    asked = {"time": "session", "event": "event"}
    model = cox_ph("late", times, frailty=frailty, frailty_distribution="lognormal", **asked)
    report = hazard_caterpillar_figure(model, group="therapist", units_label="rows")
    drawn = report.data.set_index("level")
    effects = model.tidy(effects="ran_vals")
    own = effects[effects["group"] == "therapist"].set_index("level")
    for column in ("estimate", "conf_low", "conf_high"):
        assert_allclose(drawn[column], np.exp(own.loc[drawn.index, column].astype(float)))
    assert (drawn["conf_low"] < drawn["estimate"]).all()
    assert_allclose(drawn["n_event"], last.groupby("therapist")["event"].sum()[drawn.index])
    assert report.caption.startswith("Hazard ratio of leaving of 20 therapists")
    assert "conditional distributions" in report.note
    with pytest.raises(DataError, match="no random effects"):
        hazard_caterpillar_figure(cox_ph("late", times, **asked), group="therapist")
