"""Session to session beside lavaan: the same data, estimates and standard errors asked of both.

Run as ``python -m benchmarks.panel``. Times are CPU seconds (the machine may be shared) of the
whole call, checks and tables of estimates included: the best of five, lavaan's of two; reading the
file is not counted. lavaan is left out where Rscript is not installed.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from alliance_stats.panel import CrossLagged, SeveralOutcomes, cross_lagged, several_outcomes

REPEATS = 5
PHI = np.array([[0.35, -0.15], [-0.25, 0.40]])
NAMES = {"outcomes": ["alliance", "symptoms"], "person": "person", "session": "session"}

R_SCRIPT = """
suppressPackageStartupMessages(library(lavaan))
arguments <- commandArgs(trailingOnly = TRUE)
d <- read.csv(arguments[1]); t <- (ncol(d) - 1) / 2
y <- function(j, s) paste0("y", j, "_", s); v <- function(j, s) paste0("w", j, "_", s)
m <- c("b1 ~~ b1 + b2", "b2 ~~ b2", paste0(v(1, 1), " ~~ ", v(1, 1), " + ", v(2, 1)),
  paste0(v(2, 1), " ~~ ", v(2, 1)))
for (j in 1:2) for (s in 1:t) m <- c(m, paste0("b", j, " =~ 1*", y(j, s)),
  paste0(v(j, s), " =~ 1*", y(j, s)), paste0(y(j, s), " ~~ 0*", y(j, s)), paste0(y(j, s), " ~ 1"))
for (s in 2:t) m <- c(m, paste0(v(1, s), " ~ p11*", v(1, s - 1), " + p12*", v(2, s - 1)),
  paste0(v(2, s), " ~ p21*", v(1, s - 1), " + p22*", v(2, s - 1)),
  paste0(v(1, s), " ~~ e11*", v(1, s), " + e12*", v(2, s)), paste0(v(2, s), " ~~ e22*", v(2, s)))
cpu <- function(expr) sum(system.time(expr, gcFirst = TRUE)[1:2])
seconds <- min(replicate(2, cpu(f <<- lavaan(m, d, missing = "ml", meanstructure = TRUE,
  information = "observed", baseline = FALSE, h1 = FALSE))))
p <- parameterEstimates(f); p <- p[match(c("p11", "p12", "p21", "p22"), p$label), ]
cat(sprintf(paste('{"seconds": %.3f, "log_lik": %.8f, "estimate": [%s],',
  '"std_error": [%s], "version": "lavaan %s"}'), seconds,
  as.numeric(logLik(f)), paste(sprintf("%.8f", p$est), collapse = ","),
  paste(sprintf("%.8f", p$se), collapse = ","), packageVersion("lavaan")))
"""


def ratings(n: int, sessions: int, *, therapists: int = 0, seed: int = 1) -> pd.DataFrame:
    """Return a long table of two outcomes, 10% of single ratings missing."""
    rng = np.random.default_rng(seed)
    therapist = np.arange(n) % therapists if therapists else np.zeros(n, dtype=np.int64)
    level = 0.8 * rng.normal(size=(n, 2))
    if therapists:
        level += 0.5 * rng.normal(size=(therapists, 2))[therapist]
    w = rng.normal(size=(n, 2))
    parts = []
    for s in range(1, sessions + 1):
        if s > 1:
            w = w @ PHI.T + rng.normal(size=(n, 2))
        y = level + w
        y = np.where(rng.random(y.shape) < 0.1, np.nan, y)
        frame = pd.DataFrame({"person": np.arange(n), "therapist": therapist, "session": s})
        parts.append(frame.assign(alliance=y[:, 0], symptoms=y[:, 1]))
    return pd.concat(parts, ignore_index=True)


Result = TypeVar("Result", CrossLagged, SeveralOutcomes)


def best(call: Callable[[], Result], repeats: int = REPEATS) -> tuple[float, Result]:
    """Return the least CPU seconds and what was found."""
    seconds = []
    for _ in range(repeats):
        begun = time.process_time()
        found = call()
        found.tidy()
        seconds.append(time.process_time() - begun)
    return min(seconds), found


def beside_lavaan() -> None:
    """Time 300 persons by 8 sessions in both, and hold the numbers against one another."""
    data = ratings(300, 8)
    ours, found = best(lambda: cross_lagged(data, **NAMES))
    print(f"300 persons x 8 sessions, 10% missing: {ours:.3f} s")
    if shutil.which("Rscript") is None:
        return
    wide = data.pivot(index="person", columns="session", values=["alliance", "symptoms"])
    wide.columns = [f"y{1 + (o == 'symptoms')}_{s}" for o, s in wide.columns]
    with tempfile.TemporaryDirectory() as folder:
        file, script = Path(folder) / "wide.csv", Path(folder) / "panel.R"
        wide.reset_index().to_csv(file, index=False, na_rep="NA")
        script.write_text(R_SCRIPT, encoding="utf-8")
        done = subprocess.run(
            ["Rscript", str(script), str(file)], capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    theirs = json.loads(done.stdout)
    table = found.tidy()
    off = abs(theirs["log_lik"] - found.model.log_lik)
    estimates = np.abs(table["estimate"] - theirs["estimate"]).max()
    errors = np.abs(table["std_error"] / theirs["std_error"] - 1).max()
    print(
        f"{theirs['version']}: {theirs['seconds']:.3f} s, {theirs['seconds'] / ours:.1f} times "
        f"ours; log-likelihoods differ by {off:.1e}, estimates by {estimates:.1e}, standard errors "
        f"by {errors:.1e} (relative)"
    )


def exponent(seconds: dict[int, float]) -> float:
    """Return the power of size with which the cost grows."""
    return float(np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0])


def growth() -> None:
    """Time 3,000 persons by 20 sessions in 100 therapists, and the cost by size."""
    data = ratings(3000, 20, therapists=100)
    seconds, _ = best(lambda: cross_lagged(data, nested_in=["therapist"], **NAMES), 2)
    print(f"3,000 persons x 20 sessions, 100 therapists: {seconds:.2f} s")
    sizes = [(750, 20), (1500, 20), (3000, 20), (3000, 10), (3000, 5)]
    spent = {}
    for n, t in sizes:
        table = ratings(n, t)
        found_in, found = best(partial(cross_lagged, table, **NAMES), 2)
        spent[n, t] = found_in / found.model.fit.n_evaluations
    persons = exponent({n: spent[n, 20] for n in (750, 1500, 3000)})
    sessions = exponent({t: spent[3000, t] for t in (5, 10, 20)})
    print(
        f"cost of an evaluation grows with persons to the power {persons:.2f}, with sessions to "
        f"the power {sessions:.2f}"
    )


def without_lags() -> None:
    """Time several outcomes without lags, 300 persons, by either likelihood."""
    for reml, likelihood in ((False, "maximum"), (True, "restricted")):
        spent = {}
        for t in (10, 20, 40):
            call = partial(several_outcomes, ratings(300, t), **NAMES, reml=reml)
            seconds, found = best(call, 2)
            spent[t] = seconds / found.model.fit.n_evaluations
        print(
            f"several outcomes, {likelihood} likelihood, 300 persons x 40 sessions: {seconds:.2f} "
            f"s; an evaluation grows with sessions to the power {exponent(spent):.2f}"
        )


if __name__ == "__main__":
    beside_lavaan()
    growth()
    without_lags()
