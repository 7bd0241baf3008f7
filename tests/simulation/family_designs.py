"""Small random designs of every family, half near a boundary, and what R's best start finds there.

Run as ``python -m tests.simulation.family_designs FOLDER [FAMILY ...]``: it writes each family's
designs into FOLDER, lets R fit them (``glmmTMB``, ratings in steps ``ordinal::clmm``; each from
several starts) and goes on where it stopped. ``... FOLDER --keep`` then writes the best
log-likelihoods to ``tests/parity/reference/family_designs.json``.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd

REFERENCE = Path(__file__).parents[1] / "parity" / "reference" / "family_designs.json"
DESIGNS = 200
FAMILIES = {
    "binomial": "binomial()",
    "poisson": "poisson()",
    "negative binomial": "nbinom2(), poisson()",
    "linear negative binomial": "nbinom1(), poisson()",
    "truncated poisson": "truncated_poisson()",
    "truncated negative binomial": "truncated_nbinom2(), truncated_poisson()",
    "truncated linear negative binomial": "truncated_nbinom1(), truncated_poisson()",
    "beta-binomial": "betabinomial(), binomial()",
    "gamma": "Gamma('log')",
    "beta": "beta_family()",
    "ordinal": "",
}
FORMULAS = {
    "one": "y ~ x + (1 | unit)",
    "nested": "y ~ x + (1 | outer) + (1 | unit)",
    "slope": "y ~ x + (1 + x | unit)",
}
FITTED = """
suppressPackageStartupMessages({{library(glmmTMB); library(ordinal)}})
args <- commandArgs(TRUE); d <- read.csv(args[1]); out <- args[2]
done <- if (file.exists(out)) read.csv(out, header = FALSE)$V1 else integer()
tight <- glmmTMBControl(optCtrl = list(iter.max = 2e3, eval.max = 2e3, rel.tol = 1e-13))
sds <- function(v) max(sapply(v, function(m) max(attr(m, "stddev"))))
one <- function(own, formula, n_theta) {{
  best <- c(NA, NA)
  families <- list({families})
  for (k in seq_along(families)) for (first in c(0, -3)) {{
    family <- families[[k]]
    found <- try(suppressWarnings(suppressMessages({{
      {fit}
    }})), silent = TRUE)
    # a log-density of R's has no digits left where a dispersion runs away
    if (!inherits(found, "try-error") && is.finite(found[1]) && abs(found[3]) < 12 &&
        (is.na(best[1]) || found[1] > best[1])) best <- found[1:2]
    if ({once}) break
  }}
  best
}}
for (i in setdiff(unique(d$design), done)) {{
  own <- d[d$design == i, ]
  own$unit <- factor(own$unit); own$outer <- factor(own$outer)
  found <- one(own, as.formula(own$formula[1]), c(one = 1, nested = 2, slope = 3)[own$kind[1]])
  cat(i, format(found[1], digits = 15), format(found[2], digits = 4), sep = ",", file = out,
      append = TRUE)
  cat("\\n", file = out, append = TRUE)
}}
"""
BY_TMB = """
      own$z <- {response}
      m <- glmmTMB(update(formula, z ~ .), own, family = family, se = FALSE,
                   control = tight, start = list(theta = c(first, first, 0)[seq_len(n_theta)]))
      far <- abs(m$fit$par[names(m$fit$par) == "betad"])
      c(as.numeric(logLik(m)), sds(VarCorr(m)$cond), max(0, far))
"""
BY_CLMM = """
      m <- clmm(update(formula, ordered(y) ~ .), own, Hess = FALSE,
                control = clmm.control(maxIter = 300, gradTol = 1e-6))
      c(as.numeric(logLik(m)), sds(VarCorr(m)), 0)
"""


def drawn(family: str, seed: int) -> tuple[str, pd.DataFrame]:
    """Draw a design: the kind of its formula, and its rows.

    In half of them units do not differ, or rows scatter no more than in the family at the limit.
    """
    rng = np.random.default_rng([seed, list(FAMILIES).index(family)])
    kind = list(FORMULAS)[seed % 3]
    near = rng.random() < 0.5
    units = int(rng.integers(5, 16))
    unit = np.repeat(np.arange(units), rng.integers(2, 11, units))
    outer, n, x = unit // 3, len(unit), rng.normal(size=len(unit)).round(3)
    sd = 0.0 if near and rng.random() < 0.6 else rng.uniform(0.2, 1.2)
    eta = rng.normal(0.3, 0.5) + 0.3 * x + (sd * rng.normal(size=units))[unit]
    if kind == "nested":
        eta = eta + (rng.uniform(0.0, 0.8) * rng.normal(size=outer.max() + 1))[outer]
    if kind == "slope":
        eta = eta + x * (rng.uniform(0.0, 0.5) * rng.normal(size=units))[unit]
    wide = 1e3 if near else rng.uniform(0.8, 5.0)
    mu, p = np.exp(eta), 1.0 / (1.0 + np.exp(-eta))
    trials = rng.integers(2, 9, n)
    wild = rng.poisson(mu * rng.gamma(wide, size=n) / wide)
    linear = rng.poisson(rng.gamma(mu * wide) / wide)
    y = {
        "binomial": lambda: rng.binomial(1, p),
        "poisson": lambda: rng.poisson(mu),
        "negative binomial": lambda: wild,
        "linear negative binomial": lambda: linear,
        "truncated poisson": lambda: 1 + rng.poisson(mu),
        "truncated negative binomial": lambda: 1 + wild,
        "truncated linear negative binomial": lambda: 1 + linear,
        "beta-binomial": lambda: rng.binomial(trials, rng.beta(wide * p, wide * (1 - p))),
        "gamma": lambda: rng.gamma(min(wide, 8.0), mu / min(wide, 8.0)).clip(1e-3).round(6),
        "beta": lambda: rng.beta(4.0 * p, 4.0 * (1.0 - p)).clip(1e-3, 1.0 - 1e-3).round(6),
        "ordinal": lambda: np.digitize(eta + rng.logistic(size=n), [-0.7, 0.4, 1.2]),
    }[family]()
    return kind, pd.DataFrame({"unit": unit, "outer": outer, "x": x, "y": y, "trials": trials})


def fitted_by_r(folder: Path, family: str, n: int) -> None:
    """Let R fit those of the family's first n designs that it has not fitted yet."""
    parts = []
    for seed in range(n):
        kind, data = drawn(family, seed)
        parts.append(data.assign(design=seed, kind=kind, formula=FORMULAS[kind]))
    path = folder / f"{family}.csv"
    pd.concat(parts).to_csv(path, index=False)
    ordered, pair = family == "ordinal", family == "beta-binomial"
    response = "cbind(own$y, own$trials - own$y)" if pair else "own$y"
    script = FITTED.format(
        fit=BY_CLMM if ordered else BY_TMB.format(response=response),
        families=FAMILIES[family] or "NA",
        once="TRUE" if ordered else "k > 1",
    )
    rscript = shutil.which("Rscript")
    assert rscript is not None
    out = folder / f"{family}.out"
    subprocess.run([rscript, "-e", script, str(path), str(out)], check=True)


def main(folder: Path, families: list[str], *, keep: bool) -> int:
    if not keep:
        folder.mkdir(exist_ok=True)
        for n in (20, 50, 100, DESIGNS):  # what is stopped has some of every family
            for family in families or FAMILIES:
                fitted_by_r(folder, family, n)
        return 0
    found = {}
    for family in FAMILIES:
        path = folder / f"{family}.out"
        if not path.exists():
            continue
        table = pd.read_csv(path, names=["design", "log_lik", "sd"]).sort_values("design")
        total = [float(drawn(family, seed)[1]["y"].sum().round(6)) for seed in table["design"]]
        found[family] = {
            "design": table["design"].tolist(), "total": total,
            "log_lik": [None if np.isnan(v) else v for v in table["log_lik"]],
            "sd": [None if np.isnan(v) else v for v in table["sd"]],
        }  # fmt: skip
    REFERENCE.write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    rest = [each for each in sys.argv[2:] if each != "--keep"]
    raise SystemExit(main(Path(sys.argv[1]), rest, keep="--keep" in sys.argv))
