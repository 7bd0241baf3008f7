"""Bias and coverage of lagged effects, and of the methods that came before."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from tests.simulation.panel_recovery import ERROR, PHI, Cell, one

PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "session_to_session.md"
STUDIES = int(os.environ.get("PANEL_STUDIES", "1000"))
PROFILED = (Cell(4, 100, 8), Cell(6, 100, 8))
CELLS = tuple(
    Cell(sessions, persons, therapists)
    for sessions in (4, 6, 10)
    for persons in (100, 300)
    for therapists in (8, 30)
)
HARDER = (
    Cell(6, 300, 30, error=True),
    Cell(10, 300, 30, error=True),
    Cell(4, 300, 30, off_equilibrium=True),
    Cell(6, 300, 30, off_equilibrium=True),
)


@pytest.mark.slow
def test_lagged_effects_are_unbiased_and_their_intervals_cover() -> None:
    jobs = [(cell, seed) for cell in (*CELLS, *HARDER) for seed in range(STUDIES)]
    found = Parallel(n_jobs=2, backend="multiprocessing")(
        delayed(one)(cell, seed, profile=cell in PROFILED and seed < 0.4 * STUDIES)
        for cell, seed in jobs
    )
    frame = pd.DataFrame([row for rows in found for row in rows])
    by = frame.groupby(["cell", "effect", "method"], sort=False)
    table = by.agg(
        bias=("error", "mean"), sd=("error", "std"), coverage=("covered", "mean"),
        studies=("covered", "size"),
    ).reset_index()  # fmt: skip
    PAGE.write_text(page(table), encoding="utf-8", newline="\n")
    easy = table[table["cell"].isin([cell.name for cell in CELLS])]
    likelihood = easy[easy["method"] == "likelihood"]
    monte_carlo = likelihood["sd"] / np.sqrt(likelihood["studies"])
    assert (likelihood["bias"].abs() < 0.03 + 4 * monte_carlo).all()
    assert (likelihood["coverage"] > 0.93 - 4 * np.sqrt(0.05 * 0.95 / likelihood["studies"])).all()
    centred = easy[(easy["method"] == "regression of centred ratings")]
    assert (centred[centred["effect"] == "symptoms -> symptoms"]["bias"] < -0.08).all()


def page(table: pd.DataFrame) -> str:
    """Lay the table out."""
    lines = [
        "# Session to session: bias and coverage of lagged effects",
        "",
        f"{STUDIES} simulated studies a row (profile intervals: "
        f"{int(0.4 * STUDIES)}). True effects on symptoms at the next session: "
        f"{PHI[1, 0]:g} of the alliance, {PHI[1, 1]:g} of symptoms. Persons lie in therapists; "
        "10% of ratings are missing, and who rated the alliance low and symptoms high leaves "
        "sooner (a logistic hazard of the last ratings: missing at random). Where there is error "
        f"of measurement its variance is {ERROR:g} (within-person reliability about .73); where "
        "people start off equilibrium their first deviations go against their own level. "
        "`likelihood` is `cross_lagged(..., nested_in=['therapist'])`; "
        "`regression of centred ratings` is least squares on deviations from persons' means. Bias "
        "is mean estimate minus truth; its Monte Carlo standard error is SD over the root of the "
        "number of studies. "
        "Written by `tests/simulation/test_panel_coverage.py`.",
        "",
        "| study | effect | method | bias | SD | coverage | studies |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.cell} | {row.effect} | {row.method} | {row.bias:.3f} | {row.sd:.3f} | "
        f"{row.coverage:.3f} | {row.studies} |"
        for row in table.itertuples()
    ]
    return "\n".join([*lines, ""])
