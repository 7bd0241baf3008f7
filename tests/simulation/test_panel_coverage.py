"""Bias and coverage of lagged effects, and of the methods that came before."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.simulation.panel_recovery import EFFECTS, ERROR, PHI, Cell, studies

PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "session_to_session.md"
STUDIES = int(os.environ.get("PANEL_STUDIES", "1000"))
# A file of studies that were run before: a run that was stopped goes on where it was.
KEPT = os.environ.get("PANEL_KEPT")
CELLS = tuple(
    Cell(sessions, persons, therapists, profile=(sessions, persons, therapists) == (4, 100, 8))
    for sessions in (4, 6, 10)
    for persons in (100, 300)
    for therapists in (8, 30)
)
HARDER = (
    Cell(6, 300, 30, error=True),
    Cell(10, 300, 30, error=True),
    Cell(4, 300, 30, off_equilibrium=True, profile=True),
    Cell(6, 300, 30, off_equilibrium=True),
)


@pytest.mark.slow
def test_lagged_effects_are_unbiased_and_their_intervals_cover(tmp_path: Path) -> None:
    found = studies((*CELLS, *HARDER), STUDIES, Path(KEPT) if KEPT else tmp_path / "studies.csv")
    table = summarised(found)
    PAGE.write_text(page(table), encoding="utf-8", newline="\n")
    easy = table[table["cell"].isin([cell.name for cell in CELLS])]
    likelihood = easy[easy["method"] == "likelihood"]
    assert (likelihood["bias"].abs() < 0.03 + 4 * likelihood["bias_error"]).all()
    assert (likelihood["coverage"] > 0.93 - 4 * likelihood["coverage_error"]).all()
    profile = table[table["method"].str.endswith("profile interval")]
    assert (profile["coverage"] > 0.90 - 4 * profile["coverage_error"]).all()
    centred = easy[(easy["method"] == "regression of centred ratings")]
    assert (centred[centred["effect"] == "symptoms -> symptoms"]["bias"] < -0.08).all()


def summarised(found: pd.DataFrame) -> pd.DataFrame:
    """Return bias, SD and coverage with their Monte Carlo errors, a row per cell, effect, method.

    A fit without standard errors counts as one that does not cover.
    """
    truth = found["effect"].map(dict(zip(EFFECTS, PHI[1], strict=True)))
    found = found.assign(
        off=found["estimate"] - truth,
        covered=(found["conf_low"] <= truth) & (truth <= found["conf_high"]),
        width=found["conf_high"] - found["conf_low"],
    )
    table = found.groupby(["cell", "effect", "method"], sort=False).agg(
        bias=("off", "mean"), sd=("off", "std"), coverage=("covered", "mean"),
        width=("width", "median"), studies=("covered", "size"),
    ).reset_index()  # fmt: skip
    n, coverage = table["studies"], table["coverage"]
    return table.assign(
        bias_error=table["sd"] / np.sqrt(n),
        coverage_error=np.sqrt(np.maximum(coverage * (1 - coverage), 0.001) / n),
    )


def page(table: pd.DataFrame) -> str:
    """Lay the table out."""
    lines = [
        "# Session to session: bias and coverage of lagged effects",
        "",
        f"Simulated studies with true effects on symptoms at the next session of {PHI[1, 0]:g} "
        f"(alliance) and {PHI[1, 1]:g} (symptoms). Persons lie in therapists; 10% of ratings are "
        "missing, and who rated the alliance low and symptoms high leaves sooner (a logistic "
        "hazard of the last ratings: missing at random). Where there is error of measurement its "
        f"variance is {ERROR:g} (within-person reliability about .73); where people start off "
        "equilibrium their first deviations go against their own level. `likelihood` is "
        "`cross_lagged(..., nested_in=['therapist'])` with Wald intervals from observed "
        "information; `accumulating form` adds `start='correlated'`, `reliability given` the true "
        "reliability, `profile interval` is `profile()`. `regression of centred ratings` is least "
        "squares on deviations from persons' means. Bias is mean estimate minus truth; plus-minus "
        "is a Monte Carlo standard error; width is the intervals' median.",
        "",
        "| study | effect | method | bias | SD | coverage | width | studies |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.cell} | {row.effect} | {row.method} | {row.bias:.3f} ± {row.bias_error:.3f} | "
        f"{row.sd:.3f} | {row.coverage:.3f} ± {row.coverage_error:.3f} | {row.width:.2f} | "
        f"{row.studies} |"
        for row in table.itertuples()
    ]
    lines += [
        "",
        "Written by `tests/simulation/test_panel_coverage.py`.",
        "",
        "What to take from it. Centred regression is biased however many persons there are, most "
        "for what carries over. The likelihood is not, where ratings are free of error (its Wald "
        "intervals are a little short with 100 persons and four to six sessions); with error "
        "the true reliability mends nearly all of it, and intervals are a little short, since the "
        "error's variance is worked out from the reliability and then taken for known. Started off "
        "equilibrium, the usual model is biased with few sessions, and the accumulating form is "
        "not; but with four sessions its stable covariance often lies on the boundary, "
        "where Wald intervals take it for known and are too short. Profile intervals let it go and "
        "cover: `notes` says so where a fit stands there.",
    ]
    return "\n".join([*lines, ""])
