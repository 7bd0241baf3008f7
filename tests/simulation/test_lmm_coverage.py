"""Are the intervals of a therapist-level effect honest with 8, 15 and 40 therapists?

The table it writes is kept in ``docs/coverage/therapist_effect.md``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alliance_stats.multilevel import CR2, lmm

TABLE = Path(__file__).parents[2] / "docs" / "coverage" / "therapist_effect.md"
THERAPISTS = (8, 15, 40)
REPLICATES = 1000
METHODS = ("satterthwaite", "kenward-roger", "normal", "CR2")
# Monte Carlo standard error of a rate near .05 from 1,000 replicates is .007; three of them.
ALLOWED = 0.021


def study(rng: np.random.Generator, n_therapist: int) -> pd.DataFrame:
    """Families of unequal number in therapists; the effect of the therapist's x is zero."""
    families = rng.integers(3, 10, n_therapist)
    therapist = np.repeat(np.arange(n_therapist), families)
    ratings = rng.integers(2, 7, len(therapist))
    family = np.repeat(np.arange(len(therapist)), ratings)
    x = rng.normal(size=n_therapist)
    home = therapist[family]
    return pd.DataFrame(
        {
            "therapist": home,
            "family": family,
            "x": x[home],
            "y": 0.5 * rng.normal(size=n_therapist)[home]
            + 0.7 * rng.normal(size=len(therapist))[family]
            + rng.normal(size=len(family)),
        }
    )


def rejections(n_therapist: int, replicates: int, seed: int) -> pd.DataFrame:
    """One row per replicate: whether each method rejects the true null at .05, and its df."""
    rows = []
    for child in np.random.SeedSequence([seed, n_therapist]).spawn(replicates):
        model = lmm(
            "y ~ x + (1 | therapist/family)", study(np.random.default_rng(child), n_therapist)
        )
        row: dict[str, float] = {"singular": model.singular}
        for method in METHODS:
            table = (
                model.tidy(vcov=CR2("therapist"))
                if method == "CR2"
                else model.tidy(df_method=method)
            )
            row[method] = table["p_value"].iloc[1] < 0.05
            row[f"df {method}"] = table["df"].iloc[1]
        rows.append(row)
    return pd.DataFrame(rows)


def as_markdown(found: dict[int, pd.DataFrame]) -> str:
    lines = [
        "# Type I error of a therapist-level effect",
        "",
        f"{REPLICATES} simulated studies each: 3 to 9 families a therapist, 2 to 6 ratings a "
        "family, SDs 0.5 (therapists), 0.7 (families) and 1 (residual), no effect of the "
        "therapist's covariate. Share of p < .05 (coverage of the 95% interval is 1 minus it); "
        "Monte Carlo standard error .007. Written by `tests/simulation/test_lmm_coverage.py`.",
        "",
        "| therapists | Satterthwaite | Kenward-Roger | normal | CR2 | median df "
        "(Satterthwaite, Kenward-Roger, CR2) | singular fits |",
        "|---|---|---|---|---|---|---|",
    ]
    for n, table in found.items():
        rates = " | ".join(f"{table[method].mean():.3f}" for method in METHODS)
        dfs = ", ".join(
            f"{table[f'df {m}'].median():.1f}" for m in ("satterthwaite", "kenward-roger", "CR2")
        )
        lines.append(f"| {n} | {rates} | {dfs} | {table['singular'].mean():.3f} |")
    return "\n".join(lines) + "\n"


@pytest.mark.slow
def test_therapist_level_type_one_error():
    found = {n: rejections(n, REPLICATES, seed=20) for n in THERAPISTS}
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(as_markdown(found), encoding="utf-8")
    for n, table in found.items():
        for method in ("satterthwaite", "kenward-roger"):
            assert abs(table[method].mean() - 0.05) < ALLOWED, (n, method)
    # the normal approximation is not honest with few therapists: this is why df methods exist
    assert found[8]["normal"].mean() > 0.05 + ALLOWED
