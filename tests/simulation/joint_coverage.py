"""Joint models of outcome and leaving: bias and coverage, which ``docs/coverage`` holds.

``python -m tests.simulation.joint_coverage 300 PATH`` runs 300 studies a design, a block at a time,
and goes on where PATH stops: each study has a seed of its own. ``page`` writes the page.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.multilevel import lmm
from alliance_stats.survival import shared_parameter

UNITS, THERAPISTS, SESSIONS = 150, 15, 8
SLOPE, EFFECT = -0.5, 0.4  # of the outcome a session, of the covariate on the hazard
MISSED = 0.15  # ratings missed at random while still there
BLOCK = 10
COLUMNS = ("design", "seed", "fitted", "quantity", "truth", "estimate", "std_error", "covered")


@dataclass(frozen=True)
class Design:
    """What draws a study, and what is asked of it; associations by the name of their term."""

    outcome: str
    options: dict[str, object]
    associations: dict[str, float]
    slope_sd: float = 0.0
    therapist_sd: float = 0.0
    hazard_sd: float = 0.0
    link: str = "cloglog"
    terms: dict[str, str] = field(default_factory=dict)


LEVEL = "y ~ time + x + (1 | id)"
DESIGNS = {
    "effects": Design(
        "y ~ time + x + (1 + time | id)", {}, {"(Intercept)": 0.35, "time": 1.2}, slope_sd=0.4
    ),
    "current value, therapists": Design(
        LEVEL + " + (1 | therapist)", {"association": "value", "link": "logit"}, {"value": 0.3},
        therapist_sd=0.8, link="logit",
    ),
    "therapist's effect shared": Design(
        LEVEL + " + (1 | therapist)", {}, {"(Intercept)": 0.35, "therapist": 0.5}, therapist_sd=0.8
    ),
    "therapist's effect on the hazard": Design(
        LEVEL, {"random": "(1 | therapist)"}, {"(Intercept)": 0.35}, hazard_sd=0.5
    ),
}  # fmt: skip


def study(design: Design, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw outcomes at up to eight sessions, and rows at risk after each but the last."""
    outcomes, periods = [], []
    v = rng.normal(0.0, design.therapist_sd, THERAPISTS)
    w = rng.normal(0.0, design.hazard_sd, THERAPISTS)
    tied = design.associations
    for i in range(UNITS):
        k, x = i % THERAPISTS, float(rng.random() < 0.5)
        b, slope = rng.normal(0.0, 1.5), rng.normal(0.0, design.slope_sd)
        for session in range(1, SESSIONS + 1):
            time = session - 1
            mean = 20.0 + (SLOPE + slope) * time + x + b + v[k]
            if rng.random() > MISSED:
                outcomes.append((i, k, x, time, mean + rng.normal(0.0, 1.5)))
            if session == SESSIONS:
                break
            eta = -2.2 + EFFECT * x + tied.get("value", 0.0) * (mean - 20.0) + w[k]
            eta += tied.get("(Intercept)", 0.0) * b + tied.get("time", 0.0) * slope
            eta += tied.get("therapist", 0.0) * v[k]
            hazard = 1 / (1 + np.exp(-eta)) if design.link == "logit" else -np.expm1(-np.exp(eta))
            left = float(rng.random() < hazard)
            periods.append((i, k, x, time, session, left))
            if left:
                break
    names = ["id", "therapist", "x", "time"]
    return (
        pd.DataFrame(outcomes, columns=[*names, "y"]),
        pd.DataFrame(periods, columns=[*names, "session", "event"]),
    )


def one(name: str, seed: int) -> list[dict[str, object]]:
    """Return a row a quantity of one study."""
    design = DESIGNS[name]
    place = np.random.SeedSequence((list(DESIGNS).index(name), seed))
    outcomes, periods = study(design, np.random.default_rng(place))
    truths = {
        ("outcome", "time"): SLOPE, ("hazard", "x"): EFFECT,
        **{("association", term): value for term, value in design.associations.items()},
    }  # fmt: skip
    try:
        plain = lmm(design.outcome, outcomes, reml=False).tidy().assign(part="at random")
        joint = shared_parameter(
            design.outcome, "x", outcomes, periods, session="session", event="event", unit="id",
            baseline="log", nodes=5, **design.options,
        )  # fmt: skip
        fitted = joint.converged and joint.found.stands
    except NotIdentifiedError:
        return [{"design": name, "seed": seed, "fitted": False}]
    table = pd.concat([joint.tidy(), plain]).set_index(["part", "term"])
    rows = []
    for (part, term), truth in {**truths, ("at random", "time"): SLOPE}.items():
        row = table.loc[(part, term)]
        rows.append(
            {
                "design": name,
                "seed": seed,
                "fitted": fitted,
                "quantity": f"{part}: {term}",
                "truth": truth,
                "estimate": row["estimate"],
                "std_error": row["std_error"],
                "covered": row["conf_low"] <= truth <= row["conf_high"],
            }
        )
    return rows


def main(n: int, path: Path) -> None:
    """Run all designs to n studies each, going on from what PATH holds."""
    known = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=list(COLUMNS))
    for stop in range(BLOCK, n + BLOCK, BLOCK):
        for name in DESIGNS:
            done = set(known.loc[known["design"] == name, "seed"].astype(int))
            rows = [
                row for seed in range(min(stop, n)) if seed not in done for row in one(name, seed)
            ]
            if rows:
                new = pd.DataFrame(rows, columns=list(COLUMNS))
                known = pd.concat([known, new], ignore_index=True) if len(known) else new
                known.to_csv(path, index=False)


def summed(known: pd.DataFrame) -> pd.DataFrame:
    """Return one row a design and quantity, of the studies that were fitted."""
    fitted = known[known["fitted"].astype(bool)].astype({"covered": float})
    by = fitted.groupby(["design", "quantity"], sort=False)
    return by.agg(
        truth=("truth", "mean"), mean=("estimate", "mean"), sd=("estimate", "std"),
        std_error=("std_error", "mean"), coverage=("covered", "mean"), studies=("seed", "nunique"),
    ).reset_index()  # fmt: skip


def page(known: pd.DataFrame) -> str:
    """Return the page of the docs."""
    table = summed(known)
    n = int(table["studies"].min())
    error = (0.05 * 0.95 / n) ** 0.5
    tried = known.groupby("design")["seed"].nunique()
    fitted = known[known["fitted"].astype(bool)].groupby("design")["seed"].nunique()
    outside = table[
        ~table["coverage"].between(0.93, 0.97) & ~table["quantity"].str.startswith("at random")
    ]
    lines = [
        "# Joint models of outcome and leaving: recovery and coverage",
        "",
        f"At least {n} simulated studies a design, each of {UNITS} persons of {THERAPISTS} "
        f"therapists with up to {SESSIONS} sessions, of whose ratings {MISSED:.0%} are missed at "
        f"random; about half leave, the more the higher their own level (and growth, or their "
        "therapist's). Truth, mean estimate, SD between studies, mean reported standard error and "
        f"coverage of 95% intervals (Monte Carlo standard error {error:.3f}). `at random: time` is "
        "the mixed model's slope of the outcome without the hazard. Made by "
        "`tests/simulation/joint_coverage.py`.",
        "",
        "| design | quantity | truth | mean | SD | mean SE | coverage |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {row.design} | {row.quantity} | {row.truth:g} | {row.mean:.3f} | {row.sd:.3f} | "
        f"{row.std_error:.3f} | {row.coverage:.3f} |"
        for row in table.itertuples(index=False)
    ]
    told = "; ".join(
        f"{row.quantity} of *{row.design}* ({row.coverage:.3f})" for row in outside.itertuples()
    )
    left = ", ".join(f"{tried[k] - fitted[k]} of {tried[k]} of *{k}*" for k in tried.index)
    lines += [
        "",
        f"Outside 93 to 97%: {told or 'none'}.",
        "",
        "Studies without an answer (an effect on its boundary, or an integral that did not settle) "
        f"are left out: {left}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
