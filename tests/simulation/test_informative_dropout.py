"""Those who do badly leave: what the mixed model makes of it, and what models of leaving make."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed

from alliance_stats.multilevel import lmm
from alliance_stats.survival import pattern_mixture, shared_parameter

PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "informative_dropout.md"
STUDIES = 40
SLOPE = -1.0
UNITS = 250
COLUMNS = {"session": "session", "event": "event", "unit": "id"}


def study(seed: int, association: tuple[float, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw outcomes at up to eight sessions, and rows at risk of leaving after each but the last.

    A person's own level and slope, not the outcomes seen, drive leaving: missing not at random.
    """
    rng = np.random.default_rng(seed)
    outcomes, periods = [], []
    for i in range(UNITS):
        b = rng.multivariate_normal([0.0, 0.0], [[4.0, 0.2], [0.2, 0.25]])
        for session in range(1, 9):
            time = session - 1
            y = 20.0 + b[0] + (SLOPE + b[1]) * time + rng.normal(0.0, 2.0)
            outcomes.append((i, time, y))
            if session == 8:
                break
            hazard = -np.expm1(-np.exp(-2.3 + association[0] * b[0] + association[1] * b[1]))
            left = float(rng.random() < hazard)
            periods.append((i, session, left))
            if left:
                break
    return (
        pd.DataFrame(outcomes, columns=["id", "time", "y"]),
        pd.DataFrame(periods, columns=["id", "session", "event"]),
    )


def one(seed: int, association: tuple[float, float]) -> list[dict[str, object]]:
    outcomes, periods = study(seed, association)
    formula = "y ~ time + (1 + time | id)"
    last = outcomes.groupby("id")["time"].transform("max")
    when = np.select([last <= 2, last < 7], ["early", "late"], "stayed")
    joint = shared_parameter(formula, "1", outcomes, periods, **COLUMNS, baseline_df=1)
    assert joint.converged
    tables = {
        "mixed model": lmm(formula, outcomes, reml=False).tidy(),
        "pattern mixture": pattern_mixture(
            formula, outcomes.assign(when=when), pattern="when", unit="id"
        ).tidy(),
        "shared parameter": joint.tidy().query("part == 'outcome'"),
    }
    rows = []
    for method, table in tables.items():
        row = table.set_index("term").loc["time"]
        covered = row["conf_low"] <= SLOPE <= row["conf_high"]
        rows.append(
            {
                "method": method,
                "estimate": row["estimate"],
                "std_error": row["std_error"],
                "covered": covered,
            }
        )
    return rows


@pytest.mark.slow
def test_informative_dropout_biases_the_mixed_model_and_not_the_shared_parameter_model() -> None:
    parts = []
    for name, association in (("informative", (0.35, 1.6)), ("not informative", (0.0, 0.0))):
        found = Parallel(n_jobs=2, backend="multiprocessing")(
            delayed(one)(seed, association) for seed in range(100, 100 + STUDIES)
        )
        frame = pd.DataFrame([row for rows in found for row in rows])
        by = frame.groupby("method", sort=False)
        table = by.agg(
            mean=("estimate", "mean"),
            sd=("estimate", "std"),
            std_error=("std_error", "mean"),
            coverage=("covered", "mean"),
        )
        parts.append(table.assign(dropout=name).reset_index())
    table = pd.concat(parts, ignore_index=True)
    PAGE.write_text(page(table), encoding="utf-8", newline="\n")
    bias = table.set_index(["dropout", "method"])["mean"] - SLOPE
    # about 0.07 between studies, so that a mean of 40 has a standard error of .011
    assert bias["informative", "mixed model"] < -0.15
    assert abs(bias["informative", "shared parameter"]) < 0.05
    assert abs(bias["informative", "pattern mixture"]) < abs(bias["informative", "mixed model"])
    for method in ("mixed model", "shared parameter"):
        assert abs(bias["not informative", method]) < 0.04
    coverage = table.set_index(["dropout", "method"])["coverage"]
    assert coverage["informative", "mixed model"] < 0.5
    assert coverage["informative", "shared parameter"] > 0.85


def page(table: pd.DataFrame) -> str:
    lines = [
        "# Outcomes under informative dropout",
        "",
        f"{STUDIES} simulated studies each of {UNITS} persons with up to eight sessions; the mean "
        f"slope is {SLOPE:g} points a session. Where dropout is informative, the hazard of leaving "
        "rises with a person's own level (by exp(0.35) a point) and own slope (by exp(1.6) a point "
        "a session), seen or not; about half leave. Mean estimate of the slope, its SD between "
        "studies, mean reported standard error, and coverage of 95% intervals (Monte Carlo "
        "standard error .03 at .95). Patterns: left after session 3 or before, later, stayed. "
        "Written by `tests/simulation/test_informative_dropout.py`.",
        "",
        "| dropout | method | mean | SD | mean SE | coverage |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.dropout} | {row.method} | {row.mean:.3f} | {row.sd:.3f} | {row.std_error:.3f} | "
        f"{row.coverage:.2f} |"
        for row in table.itertuples(index=False)
    ]
    lines += [
        "",
        "The shared-parameter model is the model that made these data; on others it need not be "
        "right, and nothing in the data tells. Pattern mixture carries each pattern's line on.",
        "",
    ]
    return "\n".join(lines)
