"""What a therapist-level test is worth where the therapists' variance is estimated as zero.

The table it writes is kept in ``docs/coverage/singular_fits.md``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

from alliance_stats.engine.degrees_of_freedom import kenward_roger
from alliance_stats.multilevel import LinearMixedModel, lmm

TABLE = Path(__file__).parents[2] / "docs" / "coverage" / "singular_fits.md"
THERAPISTS = (8, 15)
SHARES = (0.0, 0.02, 0.05)
FAMILY_SHARE = 0.3
REPLICATES = 1500
METHODS = {
    "satterthwaite": "Satterthwaite",
    "kept": "Kenward-Roger",
    "reduced": "Kenward-Roger of the model without it",
    "cluster": "t on J - 2 df",
}
# Monte Carlo standard error of a rate near .05 from 1,500 replicates is .006; three of them.
ALLOWED = 0.018


def study(rng: np.random.Generator, n_therapist: int, share: float, *, nested: bool):
    """One rating per person in therapists, or 2 to 6 a family in therapists; x has no effect."""
    if nested:
        home = np.repeat(np.arange(n_therapist), rng.integers(3, 10, n_therapist))
        family = np.repeat(np.arange(len(home)), rng.integers(2, 7, len(home)))
        therapist = home[family]
        y = np.sqrt(share) * rng.normal(size=n_therapist)[therapist]
        y += np.sqrt(FAMILY_SHARE) * rng.normal(size=len(home))[family]
        y += np.sqrt(1 - share - FAMILY_SHARE) * rng.normal(size=len(family))
    else:
        therapist = np.repeat(np.arange(n_therapist), rng.integers(5, 16, n_therapist))
        family = np.arange(len(therapist))
        y = np.sqrt(share) * rng.normal(size=n_therapist)[therapist]
        y += np.sqrt(1 - share) * rng.normal(size=len(therapist))
    x = rng.normal(size=n_therapist)
    return pd.DataFrame({"therapist": therapist, "family": family, "x": x[therapist], "y": y})


def p_values(model: LinearMixedModel, n_therapist: int) -> dict[str, float]:
    """p of x by each method, and df."""
    ours = model.tidy().iloc[1]
    kept = model.tidy(df_method="kenward-roger").iloc[1]
    # Kenward and Roger's method without what is at zero: what this table decided against
    method = kenward_roger(model.fit.curvature)
    C = linalg.solve_triangular(model.design.fixed.R.T, np.array([[0.0], [1.0]]), lower=True).T
    error = model.sigma * np.sqrt((C @ method.adjusted @ C.T)[0, 0])
    return {
        "satterthwaite": ours["p_value"],
        "kept": kept["p_value"],
        "reduced": 2 * stats.t.sf(abs(ours["estimate"] / error), method.df(C)[0]),
        "cluster": 2 * stats.t.sf(abs(ours["statistic"]), n_therapist - 2),
        "df satterthwaite": ours["df"],
        "df kept": kept["df"],
    }


def replicates(
    n_therapist: int, share: float, *, nested: bool, n: int = REPLICATES
) -> pd.DataFrame:
    """One row per replicate."""
    rows = []
    seeds = np.random.SeedSequence([5, n_therapist, int(share * 100), nested]).spawn(n)
    for child in seeds:
        data = study(np.random.default_rng(child), n_therapist, share, nested=nested)
        model = lmm(f"y ~ x + (1 | therapist{'/family' if nested else ''})", data)
        at_zero = model.covariances()["therapist"].iloc[0, 0] == 0.0
        rows.append(
            {
                "nested": nested,
                "therapists": n_therapist,
                "share": share,
                "singular": at_zero,
                **p_values(model, n_therapist),
            }
        )
    return pd.DataFrame(rows)


def line(found: pd.DataFrame) -> str:
    """Share of p < .05 of each method in all fits, and in those at the boundary."""
    first = found.iloc[0]
    at = found[found["singular"]]
    rates = [f"{(found[m] < 0.05).mean():.3f} / {(at[m] < 0.05).mean():.3f}" for m in METHODS]
    cells = [
        "families, 2-6 ratings" if first["nested"] else "persons, 1 rating",
        str(first["therapists"]),
        f"{first['share']:.2f}",
        f"{len(at) / len(found):.0%}",
        *rates,
        f"{at['df satterthwaite'].median():.0f}, {at['df kept'].median():.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def as_markdown(found: list[pd.DataFrame]) -> str:
    header = [
        "therapists have",
        "therapists",
        "their share of variance",
        "fits with their variance at zero",
        *METHODS.values(),
        "median df at zero (Satterthwaite, Kenward-Roger)",
    ]
    return "\n".join(
        [
            "# Type I error of a therapist-level effect where the therapists' variance may be zero",
            "",
            f"{REPLICATES} simulated studies a row; 5 to 15 persons, or 3 to 9 families, a "
            "therapist; no effect of the therapist's covariate. Share of p < .05 in all fits / in "
            "those whose therapist variance is estimated as zero; Monte Carlo standard error .006 "
            "in all fits. Kenward-Roger is the package's (and pbkrtest's): the variance at zero "
            "counts as estimated. Written by `tests/simulation/test_lmm_singular_coverage.py`.",
            "",
            "| " + " | ".join(header) + " |",
            "|" + "---|" * len(header),
            *(line(table) for table in found),
            "",
        ]
    )


@pytest.mark.slow
def test_therapist_level_type_one_error_at_the_boundary():
    found = [
        replicates(n_therapist, share, nested=nested)
        for nested in (False, True)
        for n_therapist in THERAPISTS
        for share in SHARES
    ]
    TABLE.write_text(as_markdown(found), encoding="utf-8")
    for table in found:
        assert (table["kept"] < 0.05).mean() < 0.05 + ALLOWED
        at = table[table["singular"]]
        assert (at["kept"] < 0.05).mean() <= (at["satterthwaite"] < 0.05).mean()
