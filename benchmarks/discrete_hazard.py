"""discrete_hazard beside glmmTMB: members of families, under therapists, who leave one by one.

Run as ``python -m benchmarks.discrete_hazard [ROWS ...]``; about 231,000 person-sessions if not
told otherwise. Cloglog hazards with a level each session, therapist and family effects: a family
has several members who leave at different times, so that its variance is identified. Times are CPU
seconds of the whole call with coefficients and standard errors, checks, formula and ledger
included, the best of three on our side, one of R's; reading the file is not counted. Both sides run
on one thread, one after the other. R is left out where Rscript (with glmmTMB) is not installed.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from alliance_stats.multilevel import glmm
from alliance_stats.survival import discrete_hazard

SIZE = 231_000
REPEATS = 3
LAST = 20  # sessions
FORMULA = "alliance + experience"
RANDOM = "(1 | therapist/family)"
R_SCRIPT = """
suppressPackageStartupMessages(library(glmmTMB))
d <- read.csv(commandArgs(TRUE)[1])
t <- system.time({
  m <- glmmTMB(event ~ 0 + factor(session) + alliance + experience + (1 | therapist/family),
               data = d, family = binomial("cloglog"))
  s <- coef(summary(m))$cond
}, gcFirst = TRUE)
cat(jsonlite::toJSON(list(seconds = sum(t[1:2]), log_lik = as.numeric(logLik(m)), beta = s[, 1],
  se = s[, 2], sd = unname(exp(m$fit$par[names(m$fit$par) == "theta"])),
  version = sprintf("R %s.%s, glmmTMB %s", R.version$major, R.version$minor,
                    packageVersion("glmmTMB"))), auto_unbox = TRUE, digits = NA))
"""


def members(n_rows: int, seed: int = 1) -> pd.DataFrame:
    """Simulate members of families who attend up to 20 sessions, some of whom drop out."""
    rng = np.random.default_rng(seed)
    n = int(n_rows / 7.6) + 50
    family = rng.integers(0, n // 3, n)
    therapist_of = rng.integers(0, max(n // 60, 20), n // 3)
    experience = rng.standard_normal(therapist_of.max() + 1).round(3)
    u = 0.5 * rng.standard_normal(len(experience))[therapist_of]
    u = (u + 0.6 * rng.standard_normal(n // 3))[family]
    alliance = rng.standard_normal(n)
    there = np.arange(n)
    frames = []
    for session in range(1, LAST + 1):
        alliance[there] = 0.7 * alliance[there] + 0.7 * rng.standard_normal(len(there))
        seen = alliance[there].round(3)
        therapist = therapist_of[family[there]]
        eta = -3.0 + 0.01 * session - 0.4 * seen - 0.2 * experience[therapist] + u[there]
        left = rng.random(len(there)) < -np.expm1(-np.exp(eta))
        frames.append(
            pd.DataFrame(
                {
                    "therapist": therapist,
                    "family": family[there],
                    "person": there,
                    "session": session,
                    "alliance": seen,
                    "experience": experience[therapist],
                    "event": left.astype(int),
                }
            )
        )
        there = there[~(left | (rng.random(len(there)) < 0.05))]
    table = pd.concat(frames, ignore_index=True)
    whole = table.groupby("person").size().cumsum()
    return table[table["person"].isin(whole.index[whole <= n_rows])].reset_index(drop=True)


def cpu_seconds(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """Best CPU time of some calls."""
    best = np.inf
    for _ in range(repeats):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return float(best)


def main(sizes: list[int]) -> None:
    """Print our seconds, those of the mixed model alone, and R's with the gaps, for each size."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}"
    )
    for size in sizes:
        data = members(size)

        def hazard(rows: pd.DataFrame = data) -> object:
            fit = discrete_hazard(
                FORMULA, rows, session="session", event="event", unit="person", random=RANDOM
            )
            fit.tidy()
            return fit

        def alone(rows: pd.DataFrame = data) -> object:
            fit = glmm(f"event ~ 0 + C(session) + {FORMULA} + {RANDOM}", rows, link="cloglog")
            fit.tidy()
            return fit

        with threadpool_limits(1):
            ours, inner = cpu_seconds(hazard), cpu_seconds(alone)
        print(
            f"{len(data):,} rows, {data['event'].sum():,} events, {data['person'].nunique():,} "
            f"members, {data['family'].nunique():,} families, {data['therapist'].nunique():,} "
            f"therapists: discrete_hazard {ours:.2f} s, of which the mixed model {inner:.2f} s"
        )
        compare(data, ours)


def compare(data: pd.DataFrame, ours: float) -> None:
    """Fit the same rows in R and print how long it took, and how far apart the two are."""
    found = r_results(data)
    if found is None:
        print("  Rscript is not installed: no comparison.")
        return
    fit = discrete_hazard(
        FORMULA, data, session="session", event="event", unit="person", random=RANDOM
    )
    table, spread = fit.tidy(), fit.tidy(effects="ran_pars").set_index("group")["estimate"]
    gap = np.abs(table["estimate"] - np.array(found["beta"]))
    se = np.abs(table["std_error"] / np.array(found["se"]) - 1.0)
    sds = np.sort(spread.to_numpy()) - np.sort(found["sd"])
    in_errors = (gap / table["std_error"]).max()
    print(
        f"  {found['version']} {found['seconds']:.1f} s: {found['seconds'] / ours:.0f} times as "
        f"long; largest gap of coefficients {gap.max():.1e} ({in_errors:.1e} standard "
        f"errors), of standard errors {se.max():.1e} (relative), of SDs "
        f"{np.abs(sds).max():.1e}; log-likelihood {fit.fit.log_lik - found['log_lik']:+.1e}"
    )


def r_results(data: pd.DataFrame) -> dict | None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hazards.csv"
        data.to_csv(path, index=False)
        out = subprocess.run(
            [rscript, "-e", R_SCRIPT, str(path)],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    return json.loads(out.stdout)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [SIZE])
