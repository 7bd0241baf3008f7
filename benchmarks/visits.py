"""Repeated visits beside nlme's gls, and the wild bootstrap of many rows.

Run as ``python -m benchmarks.visits``. Times are CPU seconds (the machine may be shared) of the
whole call, checks included: the best of three, gls's of one. gls is left out where Rscript is not
installed.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from alliance_stats import CR2, Unstructured, lmm, wild_bootstrap

REPEATS = 3
T = TypeVar("T")

R_SCRIPT = """
suppressPackageStartupMessages(library(nlme))
d <- read.csv(commandArgs(trailingOnly = TRUE)[1])
seconds <- sum(system.time(m <- gls(y ~ factor(visit) * arm, d, corSymm(form = ~ visit | person),
  weights = varIdent(form = ~ 1 | visit), control = glsControl(maxIter = 500, msMaxIter = 1000,
  tolerance = 1e-9)), gcFirst = TRUE)[1:2])
cat(sprintf('{"seconds": %.3f, "log_lik": %.8f, "std_error": [%s], "version": "nlme %s"}', seconds,
  as.numeric(logLik(m)), paste(sprintf("%.9f", sqrt(diag(vcov(m)))), collapse = ","),
  packageVersion("nlme")))
"""


def trial(n: int = 1000, visits: int = 8) -> pd.DataFrame:
    """Return persons of two arms by visits, a seventh of them missing."""
    rng = np.random.default_rng(2)
    root = np.tril(rng.uniform(0.1, 0.6, (visits, visits))) + 0.6 * np.eye(visits)
    data = pd.DataFrame(
        {
            "person": np.repeat(np.arange(n), visits),
            "visit": np.tile(np.arange(1, visits + 1), n),
            "arm": np.repeat(np.arange(n) % 2, visits),
            "y": (rng.normal(size=(n, visits)) @ root.T).ravel(),
        }
    )
    return data[rng.random(len(data)) > 1.0 / 7.0].reset_index(drop=True)


def ratings(therapists: int = 100, persons: int = 60, sessions: int = 10) -> pd.DataFrame:
    """Return 60,000 sessions of persons in therapists."""
    rng = np.random.default_rng(3)
    n = therapists * persons
    therapist = np.repeat(np.arange(therapists), persons * sessions)
    person = np.repeat(np.arange(n), sessions)
    y = 0.3 * rng.normal(size=therapists)[therapist] + 0.6 * rng.normal(size=n)[person]
    return pd.DataFrame(
        {
            "therapist": therapist,
            "person": person,
            "session": np.tile(np.arange(sessions), n),
            "experience": rng.normal(size=therapists)[therapist],
            "y": y + 0.7 * rng.normal(size=len(person)),
        }
    )


def best(call: Callable[[], T]) -> tuple[float, T]:
    """Return the least CPU seconds and what was found."""
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        found = call()
        seconds.append(time.process_time() - begun)
    return min(seconds), found


def beside_gls() -> None:
    """Time the fit, the fit with Satterthwaite's df, and gls, and hold the numbers together."""
    data = trial()
    residual = Unstructured("visit", within="person")
    fitted, model = best(lambda: lmm("y ~ C(visit) * arm", data, residual=residual))
    with_df, table = best(lambda: lmm("y ~ C(visit) * arm", data, residual=residual).tidy())
    print(f"{len(data):,} visits of 1,000 persons: {fitted:.2f} s, with df {with_df:.2f} s")
    if shutil.which("Rscript") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        file, script = Path(folder) / "visits.csv", Path(folder) / "visits.R"
        data.to_csv(file, index=False)
        script.write_text(R_SCRIPT, encoding="utf-8")
        done = subprocess.run(
            ["Rscript", str(script), str(file)], capture_output=True, text=True, check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    theirs = json.loads(done.stdout)
    errors = np.abs(table["std_error"] / theirs["std_error"] - 1).max()
    print(
        f"{theirs['version']}: {theirs['seconds']:.2f} s, {theirs['seconds'] / fitted:.0f} times "
        f"the fit, {theirs['seconds'] / with_df:.0f} times the fit with df; log-likelihoods differ "
        f"by {abs(theirs['log_lik'] - model.log_lik):.1e}, standard errors by {errors:.1e} "
        "(relative)"
    )


def few_clusters() -> None:
    """Time the wild bootstrap and CR2 of 60,000 rows."""
    data = ratings()
    model = lmm("y ~ session + experience + (1 | therapist/person)", data)
    seconds, _ = best(lambda: wild_bootstrap(model, "therapist", n_resamples=1000, seed=1).tidy())
    print(f"wild bootstrap, {len(data):,} rows, 1,000 draws, three coefficients: {seconds:.2f} s")
    large = ratings(therapists=6, persons=120, sessions=20)
    model = lmm("y ~ session + experience + (1 | therapist/person)", large)
    seconds, _ = best(lambda: model.tidy(vcov=CR2("therapist")))
    print(f"CR2, {len(large):,} rows in 6 therapists: {seconds:.2f} s")


if __name__ == "__main__":
    beside_gls()
    few_clusters()
