"""Do the intervals of reliability over sessions hold what they promise?

The table is kept in ``docs/coverage/generalizability.md``.
"""

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alliance_stats.scales.person_reliability import (
    crossed,
    harmonic,
    nested,
    of_means,
    ratio_limits,
)

pytestmark = pytest.mark.slow

REPEATS = 1000
ITEMS = 4
# variances of persons, sessions, their product, items in persons, items in sessions, the rest
P, T, PT, PI, TI, E = 0.64, 0.04, 0.25, 0.16, 0.02, 0.49
FAMILY, MEMBER = 0.3, 0.4
# 4 binomial standard errors, beside what the approximation itself is off with few persons
MARGIN = 4.0 * sqrt(0.95 * 0.05 / REPEATS) + 0.02
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "generalizability.md"


def draw_forms(rng: np.random.Generator, n: int, k: int, *, leaves: bool) -> tuple[np.ndarray, ...]:
    """Return answers with persons and sessions: all of k sessions, or the first 2 to k of them."""
    seen = np.arange(k) < (rng.integers(2, k + 1, n) if leaves else np.full(n, k))[:, None]
    parts = (
        (P, (n, 1, 1)), (T, (1, k, 1)), (PT, (n, k, 1)), (PI, (n, 1, ITEMS)), (TI, (1, k, ITEMS)),
        (E, (n, k, ITEMS)),
    )  # fmt: skip
    answers = sum(sqrt(variance) * rng.standard_normal(shape) for variance, shape in parts)
    person, session = np.nonzero(seen)
    return answers[person, session], person, session


def one_study(rng: np.random.Generator, n: int, k: int, *, leaves: bool) -> dict[str, bool]:
    """Return which intervals hold the truth, in data with shared and with nested sessions."""
    answers, person, session = draw_forms(rng, n, k, leaves=leaves)
    m, kept = ITEMS, harmonic(np.bincount(person))
    A = P + PI / m
    truth = {
        "RkF": A / (A + E / (kept * m)),
        "R1R": A / (A + T + PT + E / m),
        "RkR": A / (A + T / kept + PT / kept + E / (kept * m)),
        "Rc": PT / (PT + E / m),
        "RkRn": P / (P + PT / kept + E / (kept * m)),
        "Rcn": PT / (PT + E / m),
    }
    found = crossed(answers, person, session)
    level = sqrt(P) * rng.standard_normal(n)[person] + sqrt(PT) * rng.standard_normal(len(person))
    found += nested(level[:, None] + sqrt(E) * rng.standard_normal((len(person), m)), person)
    family = np.arange(n) // 3
    means = sqrt(FAMILY) * rng.standard_normal(n)[family][person]
    means += sqrt(MEMBER) * rng.standard_normal(n)[person] + rng.standard_normal(len(person))
    table = pd.DataFrame({"person": person, "family": family[person]})
    found += of_means(table, means, ("person", "family"))
    forms = harmonic(table.groupby("family").size())
    members = harmonic(table.groupby("family")["person"].nunique())
    truth["mean of a family"] = FAMILY / (FAMILY + MEMBER / members + 1.0 / forms)
    limits = {one.term: ratio_limits(one.ratio, *one.df, 0.95) for one in found}
    return {term: limits[term][0] <= value <= limits[term][1] for term, value in truth.items()}


def test_intervals_of_generalizability_cover_the_truth() -> None:
    rng = np.random.default_rng(12)
    rows = []
    for n, k, leaves in ((21, 5, False), (42, 5, False), (42, 8, True), (99, 8, True)):
        hits = pd.DataFrame([one_study(rng, n, k, leaves=leaves) for _ in range(REPEATS)])
        sessions = f"2 to {k}" if leaves else f"{k}"
        rows.append({"persons": n, "sessions": sessions, **hits.mean()})
    table = pd.DataFrame(rows)
    PAGE.write_text(as_page(table), encoding="utf-8", newline="\n")
    assert (table.drop(columns=["persons", "sessions"]) - 0.95).abs().max(axis=None) < MARGIN


def as_page(table: pd.DataFrame) -> str:
    """Return the page of the table."""
    lines = ["| " + " | ".join(table.columns) + " |", "|--:|---|" + "--:|" * (table.shape[1] - 2)]
    for row in table.itertuples(index=False):
        cells = [f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    rows = "\n".join(lines)
    return f"""# Reliability over sessions: do its intervals hold?

Share of {REPEATS} simulated studies a row in which the 95% interval of `reliability`, with persons,
sessions and families named, holds the true coefficient (binomial SE
{sqrt(0.05 * 0.95 / REPEATS):.4f}): {ITEMS} items, normal answers, variances of persons {P},
sessions {T}, their product {PT}, items in persons {PI}, items in sessions {TI}, the rest {E}; for
RkRn and Rcn sessions in persons; families of three.
Made by `tests/simulation/test_scales_coverage.py`.

{rows}

What lies between sessions (in R1R, RkR) rests on few of them: with five, the interval is somewhat
short.
"""
