"""Coverage of the intervals of every family with few therapists.

Run as ``python -m tests.simulation.family_coverage FOLDER [STUDIES]``: a line a study goes to
``FOLDER/<family>.csv``, and what is stopped goes on where it stopped. With ``--keep`` in place of
the number it writes ``alliance_stats/multilevel/family_coverage.csv`` and the page
``docs/coverage/families_of_few_therapists.md``.

Whether a profile interval holds the truth is told by the deviance there, without finding its ends.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.multilevel import glmm, ordinal, profile
from alliance_stats.multilevel.clusters import CR2, cluster_scores
from alliance_stats.multilevel.few_units import ALL
from alliance_stats.multilevel.few_units import ROBUST as BY_CR2
from alliance_stats.multilevel.linear_functions import inference_on
from alliance_stats.multilevel.mixed_models import FamilyName

THERAPISTS, ROWS, STUDIES, BLOCK = 15, 16, 1000, 50
SD, WITHIN, BETWEEN = 0.5, 0.2, 0.3
FAMILIES = (
    "binomial", "poisson", "negative binomial", "linear negative binomial", "truncated poisson",
    "truncated negative binomial", "truncated linear negative binomial", "beta-binomial", "gamma",
    "beta", "ordinal",
)  # fmt: skip
# Families and numbers of therapists with which robust standard errors are tried.
ROBUST, SIZES = ("binomial", "negative binomial", "ordinal"), (10, 15, 30)
# Studies below which a rate is not printed.
LEAST = 100
# Monte Carlo standard errors of a rate above .05 that are chance.
CHANCE = 2.5


def study(family: str, therapists: int, seed: int) -> pd.DataFrame:
    """Simulate therapists with an experience of their own and sessions that differ in alliance."""
    rng = np.random.default_rng([seed, FAMILIES.index(family), therapists])
    unit = np.repeat(np.arange(therapists), ROWS)
    n = len(unit)
    x, own = rng.normal(size=n), rng.normal(size=therapists)
    eta = 0.2 + WITHIN * x + (BETWEEN * own + SD * rng.normal(size=therapists))[unit]
    mu, p, trials = np.exp(eta), 1.0 / (1.0 + np.exp(-eta)), np.full(n, 8)
    y = {
        "binomial": lambda: rng.binomial(1, p),
        "poisson": lambda: rng.poisson(mu),
        "negative binomial": lambda: rng.poisson(mu * rng.gamma(2.0, size=n) / 2.0),
        "linear negative binomial": lambda: rng.poisson(0.8 * rng.gamma(mu / 0.8)),
        "truncated poisson": lambda: stats.poisson(mu).isf(rng.random(n) * -np.expm1(-mu)),
        "truncated negative binomial": lambda: _positive(rng, 2.0, mu),
        "truncated linear negative binomial": lambda: _positive(rng, mu / 0.8, mu),
        "beta-binomial": lambda: rng.binomial(trials, rng.beta(5.0 * p, 5.0 * (1.0 - p))),
        "gamma": lambda: rng.gamma(3.0, mu / 3.0),
        "beta": lambda: rng.beta(8.0 * p, 8.0 * (1.0 - p)).clip(1e-6, 1.0 - 1e-6),
        "ordinal": lambda: np.digitize(eta + rng.logistic(size=n), [-1.2, 0.0, 1.0, 2.0]),
    }[family]()
    return pd.DataFrame(
        {"unit": unit, "x": x, "own": own[unit], "y": np.asarray(y, float), "trials": trials}
    )


def _positive(rng: np.random.Generator, size: np.ndarray | float, mu: np.ndarray) -> np.ndarray:
    whole = stats.nbinom(size, size / (size + mu))
    return np.maximum(whole.isf(rng.random(len(mu)) * whole.sf(0)), 1.0)


def fitted(family: str, data: pd.DataFrame):
    if family == "ordinal":
        return ordinal("y ~ x + own + (1 | unit)", data)
    name: FamilyName = family  # type: ignore[assignment]
    weights = "trials" if family == "beta-binomial" else None
    return glmm("y ~ x + own + (1 | unit)", data, family=name, weights=weights)


def seen(family: str, seed: int) -> dict[str, float]:
    """Say of one study how far each estimate is from the truth; NaN where it was refused."""
    nothing = dict.fromkeys(("error_x", "z_x", "error_own", "z_own", "sd", "rise_sd"), np.nan)
    try:
        model = fitted(family, study(family, THERAPISTS, seed))
        held = profile(model, terms=["unit|sd__(Intercept)"])
        rise = held.rise("unit|sd__(Intercept)", [SD])[0]
    except (NotIdentifiedError, DataError):
        return nothing
    table, found = model.tidy().set_index("term"), {}
    for term, truth in (("x", WITHIN), ("own", BETWEEN)):
        error = table.loc[term, "estimate"] - truth
        found |= {f"error_{term}": error, f"z_{term}": error / table.loc[term, "std_error"]}
    return {**found, "sd": held.estimates.iloc[0], "rise_sd": rise}


def robust(family: str, therapists: int, seed: int) -> dict[str, float]:
    """Give z or t of the therapist's and the session's effect by each covariance."""
    fit = fitted(family, study(family, therapists, seed)).fit
    names = [fit.design.fixed.names[i] for i in fit.design.fixed.kept]
    scores, _ = cluster_scores(fit, "unit")
    half = fit.from_search @ fit.minimum.covariance @ scores.T
    plain, cr2 = half @ half.T, inference_on(fit, vcov=CR2("unit"))
    many = therapists / (therapists - 1.0)
    found = {}
    for term, truth in (("x", WITHIN), ("own", BETWEEN)):
        place = names.index(term)
        off = fit.beta[place] - truth
        df = float(cr2.df(np.eye(len(names))[[place]])[0])
        p = {
            "model": 2 * stats.norm.sf(abs(off) / np.sqrt(fit.vcov[place, place])),
            "CR0": 2 * stats.norm.sf(abs(off) / np.sqrt(plain[place, place])),
            "CR1": 2 * stats.t.sf(abs(off) / np.sqrt(many * plain[place, place]), therapists - 1),
            "CR2": 2 * stats.t.sf(abs(off) / np.sqrt(cr2.covariance[place, place]), df),
        }
        found |= {f"{kind}_{term}": value for kind, value in p.items()}
    return found


def run(path: Path, one, n: int) -> None:
    """Append the studies that are not there yet, up to the n-th."""
    done = len(pd.read_csv(path)) if path.exists() else 0
    for seed in range(done, n):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row = pd.DataFrame([{"seed": seed, **one(seed)}])
        row.to_csv(path, mode="a", header=not path.exists(), index=False)


def main(folder: Path, n: int) -> int:
    folder.mkdir(exist_ok=True)
    for upto in range(BLOCK, n + 1, BLOCK):  # what is stopped has some of every family
        for family in FAMILIES:
            run(folder / f"{family}.csv", lambda seed, f=family: seen(f, seed), upto)
        for family in ROBUST:
            for size in SIZES:
                path = folder / f"robust {family} {size}.csv"
                run(path, lambda seed, f=family, k=size: robust(f, k, seed), upto // 4)
    return 0


LEVELS = (0.95, 0.97, 0.98, 0.99)
EFFECTS = {"within": "z_x", "between": "z_own", "sd": "rise_sd"}
PACKAGE = Path(__file__).parents[2] / "alliance_stats" / "multilevel" / "family_coverage.csv"
PAGE = Path(__file__).parents[2] / "docs" / "coverage" / "families_of_few_therapists.md"


def held(folder: Path) -> pd.DataFrame:
    """Count, family by family, in how many studies each interval held the truth."""
    rows = []
    for family in FAMILIES:
        table = (
            pd.read_csv(folder / f"{family}.csv") if (folder / f"{family}.csv").exists() else None
        )
        if table is None:
            continue
        own = table.dropna()
        for effect, column in EFFECTS.items():
            squared = own[column] if effect == "sd" else own[column] ** 2
            counts = {
                f"held_{level:g}": int((squared <= stats.chi2.ppf(level, 1)).sum())
                for level in LEVELS
            }
            rows.append(
                {"family": family, "therapists": THERAPISTS, "effect": effect,
                 "studies": len(own), "refused": len(table) - len(own), **counts}
            )  # fmt: skip
    for size, whole in _robust_studies(folder).items():
        refused = (whole["CR2_own"] < 0.05).sum()
        rows.append(
            {"family": ALL, "therapists": size, "effect": BY_CR2, "studies": len(whole),
             "refused": 0, "held_0.95": len(whole) - refused}
        )  # fmt: skip
    table = pd.DataFrame(rows)
    counted = [name for name in table if "held" in name]
    return table.assign(**{name: table[name].astype("Int64") for name in counted})


def _robust_studies(folder: Path) -> dict[int, pd.DataFrame]:
    """Return the studies of robust errors, all families together, by number of therapists."""
    found = {}
    for size in SIZES:
        paths = [folder / f"robust {family} {size}.csv" for family in ROBUST]
        tables = [pd.read_csv(path) for path in paths if path.exists()]
        if sum(map(len, tables)) >= LEAST:
            found[size] = pd.concat(tables)
    return found


def page(counts: pd.DataFrame, folder: Path) -> str:
    """Write the page: a row a family, all families, and the robust errors."""
    lines = [
        "# Intervals of every family with few therapists",
        "",
        f"Simulated studies of {THERAPISTS} therapists with {ROWS} rows each: a predictor that "
        f"varies within therapists ({WITHIN:g}), one of therapists ({BETWEEN:g}), and an SD of "
        f"therapists of {SD:g}, on the scale of the link. Share of 95% intervals that held the "
        "truth: Wald intervals of the two effects, profile intervals of the SD; in brackets the "
        "Monte Carlo standard error. Written by `tests/simulation/family_coverage.py`, which goes "
        "on where it stopped.",
        "",
        "| family | studies | within therapists | of therapists | SD |",
        "|---|--:|--:|--:|--:|",
    ]
    counts = counts[counts["family"] != ALL]
    sums = counts.groupby("effect")[["studies", *(c for c in counts if "held" in c)]].sum()
    for family, own in [*counts.groupby("family", sort=False), ("all", sums.reset_index())]:
        cells = own.set_index("effect")
        shown = [_share(cells.loc[e, "held_0.95"], cells.loc[e, "studies"]) for e in EFFECTS]
        n = int(cells["studies"].iloc[0])
        lines.append(f"| {family} | {n:,} | {' | '.join(shown)} |")
    lines += ["", "Over all families, intervals of other levels held the truth in:", ""]
    lines += ["| level | within therapists | of therapists | SD |", "|---|--:|--:|--:|"]
    for level in LEVELS:
        shown = [_share(sums.loc[e, f"held_{level:g}"], sums.loc[e, "studies"]) for e in EFFECTS]
        lines.append(f"| {level:g} | {' | '.join(shown)} |")
    return "\n".join([*lines, *_robust_lines(folder)]) + "\n"


def _robust_lines(folder: Path) -> list[str]:
    kinds, studies = ("model", "CR0", "CR1", "CR2"), _robust_studies(folder)
    if not studies:
        return []
    trusted = []
    lines = [
        "",
        "Share of true null hypotheses rejected at .05, by covariance (`model`: that of the "
        "likelihood, z; CR0: z; CR1: t on one less than the therapists; CR2: `vcov=CR2(...)`), "
        f"{', '.join(ROBUST)} together:",
        "",
        f"| effect | therapists | studies | {' | '.join(kinds)} |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for term, effect in (("own", "of therapists"), ("x", "within therapists")):
        for size, whole in studies.items():
            rates = {k: (whole[f"{k}_{term}"] < 0.05).mean() for k in kinds}
            shown = [_share(rate * len(whole), len(whole)) for rate in rates.values()]
            lines.append(f"| {effect} | {size} | {len(whole)} | {' | '.join(shown)} |")
            limit = 0.05 + CHANCE * np.sqrt(0.05 * 0.95 / len(whole))
            kept = [k for k, rate in rates.items() if rate <= limit]
            trusted.append(f"with {size} therapists, for an effect {effect}: {', '.join(kept)}")
    said = f"Not above .05 by more than chance ({CHANCE:g} Monte Carlo standard errors): "
    return [*lines, "", said + "; ".join(trusted) + "."]


def _share(held: float, n: float) -> str:
    share = held / n
    return f"{share:.3f} ({np.sqrt(share * (1.0 - share) / n):.3f})"


def keep(folder: Path) -> int:
    counts = held(folder)
    counts.to_csv(PACKAGE, index=False)
    PAGE.write_text(page(counts, folder), encoding="utf-8")
    return 0


if __name__ == "__main__":
    there, what = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else str(STUDIES)
    raise SystemExit(keep(there) if what == "--keep" else main(there, int(what)))
