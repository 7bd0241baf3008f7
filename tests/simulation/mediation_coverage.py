"""Intervals of indirect effects with 15 and 40 units: what ``docs/coverage/mediation.md`` holds.

``python -m tests.simulation.mediation_coverage 440 PATH`` runs 440 studies a row, a block at a
time, and goes on where the counts in PATH stop: each study has a seed of its own. The page is then
written by ``page``.
"""

import csv
import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats import mediation
from alliance_stats.errors import NotIdentifiedError

# paths of the treatment to the mediator and on to the outcome
PATHS = {"both": (0.5, 0.5), "first": (0.5, 0.0), "second": (0.0, 0.5), "none": (0.0, 0.0)}
UNITS = (15, 40)
ROWS = 10  # of a unit
DRAWS = 2000
BLOCK = 20
COLUMNS = ("design", "paths", "units", "studies", "covered", "not_zero", "not_fitted")


def clustered(a: float, b: float, units: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw persons whose errors a therapist shares; the treatment is the therapist's."""
    t = np.repeat(np.arange(units), ROWS)
    x = (np.arange(units) % 2).astype(float)[t]
    m = a * x + 0.5 * rng.normal(size=units)[t] + rng.normal(size=len(t))
    y = b * m + 0.2 * x + 0.5 * rng.normal(size=units)[t] + rng.normal(size=len(t))
    return pd.DataFrame({"unit": t, "x": x, "m": m, "y": y})


def two_levels(a: float, b: float, units: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw one way within therapists, and another between them."""
    t = np.repeat(np.arange(units), ROWS)
    u_x = rng.normal(size=units)
    u_m = a * u_x + rng.normal(0.0, 0.8, units)
    u_y = b * u_m + 0.2 * u_x + rng.normal(0.0, 0.8, units)
    x = rng.normal(size=len(t))
    m = 0.3 * x + rng.normal(size=len(t))
    y = 0.4 * m + rng.normal(size=len(t))
    return pd.DataFrame(
        {"unit": t, "x": u_x[t] + x, "m": u_m[t] + m, "y": u_y[t] + y, "x2": u_x[t]}
    )


def random_slopes(a: float, b: float, units: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw paths within units with SDs of 0.4 and, where both are there, a correlation of 0.5."""
    t = np.repeat(np.arange(units), ROWS)
    r = 0.5 if a and b else 0.0
    slopes = rng.multivariate_normal([a, b], 0.16 * np.array([[1.0, r], [r, 1.0]]), units)
    level = 0.5 * rng.normal(size=(3, units))
    x = rng.normal(size=len(t))
    m = slopes[t, 0] * x + rng.normal(size=len(t))
    y = slopes[t, 1] * m + 0.2 * x + rng.normal(size=len(t))
    m, y = level[1][t] + m, level[2][t] + y
    return pd.DataFrame({"unit": t, "x": level[0][t] + x, "m": m, "y": y})


def persons(a: float, b: float, units: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw as many persons, who know nothing of one another."""
    x = (np.arange(units) % 2).astype(float) - 0.5
    m = 2.0 * a * x + rng.normal(size=units)
    y = b * m + 0.2 * x + rng.normal(size=units)
    return pd.DataFrame({"x": x, "m": m, "y": y})


# name -> how data are drawn, what is asked, level of the effect, and its true value of a and b
Asked = tuple[Callable[..., pd.DataFrame], dict[str, object], str, Callable[[float, float], float]]


def _product(a: float, b: float) -> float:
    return a * b


DESIGNS: dict[str, Asked] = {
    "persons, Monte Carlo": (persons, {}, "", lambda a, b: 2.0 * a * b),
    "persons, profile": (persons, {"ci_method": "profile"}, "", lambda a, b: 2.0 * a * b),
    "clusters, Monte Carlo": (clustered, {"cluster": "unit"}, "", _product),
    "clusters, bootstrap": (
        clustered, {"cluster": "unit", "ci_method": "bootstrap", "n_resamples": 1000}, "",
        _product,
    ),
    "2-1-1, between": (two_levels, {"treatment": "x2", "nested_in": "unit"}, "between", _product),
    "1-1-1, between": (two_levels, {"nested_in": "unit"}, "between", _product),
    "1-1-1, random slopes": (
        random_slopes, {"nested_in": "unit", "random_slopes": ("a", "b")}, "within",
        lambda a, b: a * b + (0.08 if a and b else 0.0),
    ),
}  # fmt: skip


def one(design: str, paths: str, units: int, seed: int) -> tuple[bool, bool] | None:
    """Return whether an interval covers the truth, and whether it leaves out zero."""
    draw, asked, level, truth = DESIGNS[design]
    a, b = PATHS[paths]
    place = (list(DESIGNS).index(design), list(PATHS).index(paths), units, seed)
    rng = np.random.default_rng(np.random.SeedSequence(place))
    data = draw(a, b, units, rng)
    options = {"treatment": "x", "mediator": "m", "outcome": "y", "seed": rng}
    try:
        found = mediation(data, **(options | {"n_resamples": DRAWS} | asked))
        table = found.tidy()
    except NotIdentifiedError:
        return None
    own = table[(table["term"] == "indirect through m") & (table["level"] == level)].iloc[0]
    low, high = float(own["conf_low"]), float(own["conf_high"])
    return low <= truth(a, b) <= high, not low <= 0.0 <= high


def main(n: int, path: Path) -> None:
    """Run all rows to n studies each, going on from the counts that PATH holds."""
    keys = list(itertools.product(DESIGNS, PATHS, UNITS))
    counts = {key: [0, 0, 0, 0] for key in keys}
    if path.exists():
        for row in pd.read_csv(path).itertuples(index=False):
            counts[row[0], row[1], int(row[2])] = [int(value) for value in row[3:]]
    for stop in range(BLOCK, n + BLOCK, BLOCK):
        for key in keys:
            cell = counts[key]
            for seed in range(cell[0], min(stop, n)):
                found = one(*key, seed)
                cell[0] += 1
                cell[1] += found is not None and found[0]
                cell[2] += found is not None and found[1]
                cell[3] += found is None
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([*key, *cell] for key, cell in counts.items())


def rates(counts: pd.DataFrame) -> pd.DataFrame:
    """Return coverage and the share of intervals without zero, of the studies that were fitted."""
    fitted = counts["studies"] - counts["not_fitted"]
    return counts.assign(coverage=counts["covered"] / fitted, found=counts["not_zero"] / fitted)


def page(counts: pd.DataFrame) -> str:
    """Return the page of the docs."""
    n = int(counts["studies"].min())
    error = (0.05 * 0.95 / n) ** 0.5
    lines = [
        "# Indirect effects: coverage of the intervals, and effects found where there are none",
        "",
        f"{n} simulated studies a row, 15 or 40 units of {ROWS} rows (`persons`: 15 or 40 rows). "
        "`clusters`: one level, `mediation(cluster=)`, the treatment is the therapist's and "
        "therapists share half an SD of error with their persons. `2-1-1` and `1-1-1, between`: "
        "`mediation(nested_in=)`, the effect between therapists, beside another within. `random "
        "slopes`: the effect within, whose paths have SDs of 0.4 over therapists and, where both "
        "are there, a correlation of 0.5. `paths`: whether the treatment moves the mediator (0.5), "
        "the mediator the outcome (0.5), or both. `coverage` of the 95% interval (binomial SE "
        f"{error:.3f}); `not 0`: share of intervals that exclude 0, a type I error in all rows but "
        "those of `both`. `not fitted`: studies in which a variance between therapists was "
        "estimated as zero, so that there are no paths between them. "
        f"{DRAWS:,} draws a study, 1,000 of the bootstrap. Made by "
        "`tests/simulation/mediation_coverage.py`.",
        "",
        "| design | paths | units | coverage | not 0 | not fitted |",
        "|---|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.design} | {row.paths} | {row.units} | {row.coverage:.3f} | {row.found:.3f} | "
        f"{row.not_fitted} |"
        for row in rates(counts).itertuples()
    ]
    lines += [
        "",
        "What follows. Intervals by draws (paths between few units as t) and by profile cover as "
        "they should with 15 units and with 40, and find what is not there in at most 6%, hardly "
        "ever where both paths are missing. The bootstrap of whole therapists is a little too "
        "narrow (93 instead of 95% with 15) and finds more for that reason, also what is not "
        "there: with few units take the draws. With 15 units an effect of two paths of 0.5 "
        "between therapists is found in one to three studies of ten.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
