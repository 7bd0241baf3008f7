"""Do the intervals of indirect effects hold, with 15 and with 40 therapists?

The table is kept in ``docs/coverage/mediation.md``.
"""

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alliance_stats import mediation
from alliance_stats.errors import NotIdentifiedError

pytestmark = pytest.mark.slow

REPEATS = 100
# 4 binomial standard errors of a coverage of .95
MARGIN = 4.0 * sqrt(0.05 * 0.95 / REPEATS)
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "mediation.md"
# paths of the treatment to the mediator and on to the outcome
PATHS = {"both": (0.5, 0.5), "first": (0.5, 0.0), "second": (0.0, 0.5), "none": (0.0, 0.0)}


def draw(a: float, b: float, therapists: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw 10 persons a therapist: one way within therapists, another between them."""
    t = np.repeat(np.arange(therapists), 10)
    u_x = rng.normal(size=therapists)
    u_m = a * u_x + rng.normal(0.0, 0.8, therapists)
    u_y = b * u_m + 0.2 * u_x + rng.normal(0.0, 0.8, therapists)
    x = rng.normal(size=len(t))
    m = 0.3 * x + rng.normal(size=len(t))
    y = 0.4 * m + rng.normal(size=len(t))
    return pd.DataFrame(
        {"therapist": t, "x": u_x[t] + x, "m": u_m[t] + m, "y": u_y[t] + y, "x2": u_x[t]}
    )


def flat(a: float, b: float, therapists: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw persons whose errors a therapist shares; the treatment is the therapist's."""
    t = np.repeat(np.arange(therapists), 10)
    x = (np.arange(therapists) % 2).astype(float)[t]
    m = a * x + 0.5 * rng.normal(size=therapists)[t] + rng.normal(size=len(t))
    y = b * m + 0.2 * x + 0.5 * rng.normal(size=therapists)[t] + rng.normal(size=len(t))
    return pd.DataFrame({"therapist": t, "x": x, "m": m, "y": y})


def one(design: str, paths: str, therapists: int, rng: np.random.Generator) -> dict[str, object]:
    a, b = PATHS[paths]
    hits, excluded, lost = [], [], 0
    for _ in range(REPEATS):
        options = {"mediator": "m", "outcome": "y", "seed": rng, "n_resamples": 4000}
        try:
            if design == "clusters":
                found = mediation(
                    flat(a, b, therapists, rng), treatment="x", cluster="therapist", **options
                )
            else:
                treatment = "x2" if design == "2-1-1" else "x"
                data = draw(a, b, therapists, rng)
                found = mediation(data, treatment=treatment, nested_in="therapist", **options)
        except NotIdentifiedError:
            lost += 1
            continue
        table = found.tidy()
        row = table[table["term"] == "indirect by way of m"].iloc[-1]  # between
        hits.append(row["conf_low"] <= a * b <= row["conf_high"])
        excluded.append(not row["conf_low"] <= 0.0 <= row["conf_high"])
    return {
        "design": design,
        "paths": paths,
        "therapists": therapists,
        "coverage": float(np.mean(hits)),
        "not 0": float(np.mean(excluded)),
        "not fitted": lost,
    }


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(23)
    found = pd.DataFrame(
        [
            one(design, paths, therapists, rng)
            for design in ("clusters", "2-1-1", "1-1-1")
            for paths in PATHS
            for therapists in (15, 40)
        ]
    )
    lines = ["| " + " | ".join(found.columns) + " |", "|---|---|--:|--:|--:|--:|"]
    lines += [
        f"| {r['design']} | {r['paths']} | {r['therapists']} | {r['coverage']:.3f} | "
        f"{r['not 0']:.3f} | {r['not fitted']} |"
        for r in found.to_dict("records")
    ]
    head = PAGE.read_text().split("| design |")[0] if PAGE.exists() else ""
    PAGE.write_text(head + "\n".join(lines) + "\n")
    return found


def test_a_path_that_is_not_there_is_seldom_found(rows: pd.DataFrame) -> None:
    null = rows[rows["paths"] != "both"]
    assert (null["not 0"] < 0.05 + MARGIN + 0.02).all()


def test_the_interval_of_an_indirect_effect_covers(rows: pd.DataFrame) -> None:
    both = rows[(rows["paths"] == "both") & (rows["therapists"] == 40)]
    assert (both["coverage"] > 0.95 - MARGIN - 0.02).all()
