"""Type I errors of clustered hazard models, by method: ``docs/coverage/hazards_few_therapists.md``.

``python -m tests.simulation.hazards_of_few_therapists 1000`` runs 1,000 studies per cell into the
table beside this file, and goes on from the studies that it holds: every study has a seed of its
own. Then it writes the page.

A study has therapists with eight families each, or from two to twenty (as many in all), who leave
after one of up to twelve sessions; therapists' log hazards have SD 0.5, and neither a therapist's
experience nor a family's treatment, drawn within therapists, has an effect.
"""

import csv
import itertools
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from alliance_stats import cox_ph, discrete_hazard
from alliance_stats.errors import AllianceStatsWarning, NotIdentifiedError
from alliance_stats.survival.by_session.discrete_hazard import covariance_over
from alliance_stats.survival.cox.cox_fit import cluster_errors

TABLE = (
    Path(__file__).parents[2] / "alliance_stats" / "survival" / "cox" / "hazard_type_one_errors.csv"
)
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "hazards_few_therapists.md"
THERAPISTS = (10, 15, 30)
FAMILIES, SESSIONS, SD = 8, 12, 0.5
COLUMNS = ("therapists", "sizes", "effect", "model", "method", "studies", "rejected", "undefined")
EFFECTS = ("experience", "treated")
METHODS = ("independent", "robust", "CR2", "random effect")


def study(rng: np.random.Generator, n_therapists: int, *, balanced: bool) -> pd.DataFrame:
    """Draw one study under the null hypothesis, a row per family."""
    shares = np.ones(n_therapists) if balanced else np.geomspace(1.0, 10.0, n_therapists)
    sizes = np.maximum(np.round(shares / shares.sum() * FAMILIES * n_therapists), 2).astype(int)
    therapist = np.repeat(np.arange(n_therapists), sizes)
    n = len(therapist)
    hazard = 0.07 * np.exp(SD * rng.standard_normal(n_therapists))[therapist]
    left = np.ceil(rng.exponential(1.0 / hazard))
    seen = rng.integers(6, SESSIONS + 1, n)
    return pd.DataFrame(
        {
            "family": np.arange(n),
            "therapist": therapist,
            "time": np.minimum(left, seen).astype(int),
            "event": (left <= seen).astype(int),
            "experience": rng.standard_normal(n_therapists)[therapist],
            "treated": np.concatenate([rng.permutation(np.arange(k) % 2) for k in sizes]),
        }
    )


def p_values(data: pd.DataFrame) -> dict[tuple[str, str, str], float]:
    """Test both effects by every method of both models."""
    formula, clock = "experience + treated", {"time": "time", "event": "event"}
    rows = data.loc[data.index.repeat(data["time"])].reset_index(drop=True)
    rows["session"] = rows.groupby("family").cumcount() + 1
    rows["left"] = (rows["event"] == 1) & (rows["session"] == rows["time"])
    rows["left"] = rows["left"].astype(float)
    known = {"known_before": ["experience", "treated"]}
    by_session = {"session": "session", "event": "left", "unit": "family", **known}
    found = {}
    for model, fit, mixed in (
        ("Cox", _cox, lambda: cox_ph(formula, data, **clock, frailty="therapist")),
        ("discrete", _discrete, lambda: discrete_hazard(formula, rows, **by_session)),
    ):
        asked = fit(formula, data if model == "Cox" else rows, clock, by_session)
        try:
            asked["random effect"] = mixed().tidy()
        except NotIdentifiedError:
            asked["random effect"] = pd.DataFrame({"term": EFFECTS, "p_value": np.nan})
        for method, table in asked.items():
            for effect in EFFECTS:
                p = table.loc[table["term"] == effect, "p_value"].iloc[0]
                found[effect, model, method] = float(p)
    return found


def _cox(formula: str, data: pd.DataFrame, clock: dict, _: dict) -> dict[str, pd.DataFrame]:
    """Return the tables of one fit by its three covariances."""
    model = cox_ph(formula, data, **clock, cluster="therapist")
    reduced = cluster_errors(
        model.X, model.fit, model.sets, model.intervals.cluster, model.intervals.n_clusters,
        vcov="CR2",
    )  # fmt: skip
    unscale = np.outer(model.design.scale, model.design.scale)
    own = replace(model, covariance=model.model_covariance, errors=None)
    other = replace(model, covariance=reduced.covariance / unscale, errors=reduced)
    return {"independent": own.tidy(), "robust": model.tidy(), "CR2": other.tidy()}


def _discrete(formula: str, rows: pd.DataFrame, _: dict, asked: dict) -> dict[str, pd.DataFrame]:
    """Return the tables of one fit by its three covariances."""
    model = discrete_hazard(formula, rows, **asked, random=None, cluster="therapist")
    reduced = covariance_over(model.fit, model.periods.frame["therapist"], "CR2")
    own, other = replace(model, errors=None), replace(model, errors=reduced)
    return {"independent": own.tidy(), "robust": model.tidy(), "CR2": other.tidy()}


def main(n: int, first: int = 0) -> None:
    """Run all cells, a block of studies at a time, and write the counts after each block.

    Studies `first` to `n`: tables of several processes add up.
    """
    counts: dict[tuple[object, ...], list[int]] = {}
    if TABLE.exists():
        for row in pd.read_csv(TABLE).itertuples(index=False):
            counts[tuple(row[:5])] = list(row[5:])
    if len({cell[0] for cell in counts.values()}) > 1:
        raise SystemExit(f"Cells of {TABLE.name} hold unlike numbers of studies: begin afresh.")
    done, block = first + max((cell[0] for cell in counts.values()), default=0), 10
    for start in range(done, n, block):
        for J, balanced in itertools.product(THERAPISTS, (True, False)):
            sizes = "equal" if balanced else "2 to 20"
            for i in range(start, min(start + block, n)):
                seed = np.random.SeedSequence([J, balanced, i])
                data = study(np.random.default_rng(seed), J, balanced=balanced)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", AllianceStatsWarning)
                    found = p_values(data)
                for (effect, model, method), p in found.items():
                    cell = counts.setdefault((J, sizes, effect, model, method), [0, 0, 0])
                    cell[0] += 1
                    cell[1] += bool(p < 0.05)
                    cell[2] += bool(np.isnan(p))
        aside = TABLE.with_suffix(".part")
        with aside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([*key, *cell] for key, cell in counts.items())
        aside.replace(TABLE)


def page(counts: pd.DataFrame) -> str:
    """Return the page of the docs that holds the shares of rejected null hypotheses."""
    fewest, most = int(counts["studies"].min()), int(counts["studies"].max())
    studies = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    keys = ["effect", "model", "therapists", "sizes", "method"]
    rates = (counts["rejected"] / (counts["studies"] - counts["undefined"])).set_axis(
        pd.MultiIndex.from_frame(counts[keys])
    )
    errors = [(0.05 * 0.95 / n) ** 0.5 for n in (most, fewest)]
    lines = [
        "# Type I errors of hazard models with few therapists",
        "",
        f"Each share is of {studies} simulated studies: therapists with 8 families each, or from 2 "
        f"to 20 (as many in all), who leave after one of up to {SESSIONS} sessions, about half of "
        f"them while they are seen; therapists' log hazards have SD {SD}. Neither the therapist's "
        "experience nor the family's treatment (half of each therapist's families) has an effect. "
        f"Share of p < .05; Monte Carlo standard error {errors[0]:.3f} to {errors[1]:.3f}. The "
        "random effect is a gamma frailty (Cox) or normal (discrete, Laplace). Written by "
        "`tests/simulation/hazards_of_few_therapists.py`.",
        "",
        "| effect | model | therapists | families each | " + " | ".join(METHODS) + " |",
        "|---|---|---|---|" + "---|" * len(METHODS),
    ]
    cells = itertools.product(
        ("experience", "treated"), ("Cox", "discrete"), THERAPISTS, ("equal", "2 to 20")
    )
    for effect, model, J, sizes in cells:
        shown = " | ".join(f"{rates[effect, model, J, sizes, method]:.3f}" for method in METHODS)
        named = {"experience": "therapist's", "treated": "family's"}[effect]
        lines.append(f"| {named} | {model} | {J} | {sizes} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
    PAGE.write_text(page(pd.read_csv(TABLE)), encoding="utf-8")
