"""Are the tests of regressions honest where cases of one therapist are alike?

The table is kept in ``docs/coverage/clustered_regression.md``.
"""

from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from alliance_stats import regression
from alliance_stats.errors import NotIdentifiedError

pytestmark = pytest.mark.slow

REPEATS = 1000
# 4 binomial standard errors of a level of .05
MARGIN = 4.0 * sqrt(0.05 * 0.95 / REPEATS)
# what a small-sample correction that is an approximation may err by beside it, as measured here
APPROXIMATE = 0.02
SD_BETWEEN = 0.6  # of therapists, on the scale of the link
SIZES = (3, 5, 8, 12, 20)
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "clustered_regression.md"
FAMILIES = ("linear", "logistic", "poisson", "ordinal")


def draw(family: str, therapists: int, rng: np.random.Generator) -> pd.DataFrame:
    """Draw cases on whom neither their own x nor their therapist's z has an effect."""
    size = np.resize(SIZES, therapists)
    therapist = np.repeat(np.arange(therapists), size)
    effect = rng.normal(0.0, SD_BETWEEN, therapists)[therapist]
    n = len(therapist)
    x = rng.normal(size=n) + rng.normal(size=therapists)[therapist]
    z = (np.arange(therapists) % 3 == 0).astype(float)  # a third of the therapists
    if family == "linear":
        y = effect + rng.normal(0.0, 1.5, n)
    elif family == "logistic":
        y = (rng.uniform(size=n) < special.expit(effect - 0.5)).astype(float)
    elif family == "poisson":
        y = rng.poisson(np.exp(effect + 0.3)).astype(float)
    else:
        y = np.digitize(effect + rng.logistic(size=n), [-1.0, 0.5, 1.5]).astype(float)
    return pd.DataFrame({"y": y, "x": x, "z": z[therapist], "therapist": therapist})


def rejections(family: str, therapists: int, rng: np.random.Generator) -> dict[str, object]:
    found, lost = [], 0
    for _ in range(REPEATS):
        data = draw(family, therapists, rng)
        try:
            model = regression("y ~ x + z", data, family=family, cluster="therapist")
        except NotIdentifiedError:
            lost += 1
            continue
        plain = model.tidy(vcov="classical").set_index("term")["p_value"]
        robust = model.tidy().set_index("term")
        if family == "ordinal":
            cr1 = model.tidy(vcov="CR1").set_index("term")["p_value"]
        else:
            cr1 = plain * np.nan
        normal = pd.Series(2.0 * stats.norm.sf(robust["statistic"].abs()), robust.index)
        kinds = {"classical": plain, "z": normal, "cr1": cr1, "t": robust["p_value"]}
        found.append(
            {
                f"{how}_{term}": float(p[term] < 0.05) if np.isfinite(p[term]) else np.nan
                for how, p in kinds.items()
                for term in ("x", "z")
            }
            | {"df_x": robust.loc["x", "df"], "df_z": robust.loc["z", "df"]}
        )
    table = pd.DataFrame(found)
    shares = table.drop(columns=["df_x", "df_z"]).mean().to_dict()
    middle = {name: float(table[name].median()) for name in ("df_x", "df_z")}
    row = {"family": family, "therapists": therapists, "not_fitted": lost}
    return row | shares | middle


def table(seed: int = 17) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame([rejections(family, m, rng) for family in FAMILIES for m in (10, 20, 40)])


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    found = table()
    _write(found)
    return found


def test_the_corrected_tests_hold_their_level(rows: pd.DataFrame) -> None:
    for term in ("x", "z"):
        assert (rows[f"t_{term}"] < 0.05 + MARGIN + APPROXIMATE).all()


def test_classical_errors_do_not(rows: pd.DataFrame) -> None:
    assert (rows["classical_z"] > 0.05 + MARGIN).all()


def test_cr1_of_ordered_categories_rejects_too_often(rows: pd.DataFrame) -> None:
    ordered = rows[rows["family"] == "ordinal"].set_index("therapists")
    assert ordered.loc[10, "cr1_z"] > 0.05 + MARGIN
    assert ordered.loc[10, "t_z"] < ordered.loc[10, "cr1_z"]


def _write(found: pd.DataFrame) -> None:
    shown = found.rename(columns={"not_fitted": "not fitted"})
    numbers = {
        name: "{:.1f}" if name.startswith("df") else "{:.3f}"
        for name in shown.columns
        if name.startswith(("classical", "z_", "cr1", "t_", "df"))
    }
    lines = ["| " + " | ".join(shown.columns) + " |"]
    lines.append("|" + "|".join(["---"] + ["--:"] * (len(shown.columns) - 1)) + "|")
    for record in shown.to_dict("records"):
        cells = [
            numbers[name].format(value) if name in numbers else str(value)
            for name, value in record.items()
        ]
        lines.append("| " + " | ".join(cells) + " |")
    head = PAGE.read_text().split("| family |")[0] if PAGE.exists() else ""
    PAGE.write_text(head + "\n".join(lines).replace("nan", "") + "\n")
