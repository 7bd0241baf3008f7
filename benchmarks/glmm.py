"""glmm beside glmmTMB: cloglog hazards of person-sessions with therapist and family effects.

Run as ``python -m benchmarks.glmm [ROWS ...]``; needs Rscript with glmmTMB. Both sides fit from the
frame and give standard errors, one after the other on one thread, in the same run.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import scipy
from threadpoolctl import threadpool_limits

from alliance_stats.multilevel import glmm

SIZES = (38_000, 231_000)
FORMULA = "event ~ session + alliance + experience + (1 | therapist/family)"
R_SCRIPT = """
suppressPackageStartupMessages(library(glmmTMB))
d <- read.csv(commandArgs(TRUE)[1])
t <- system.time({
  m <- glmmTMB(event ~ session + alliance + experience + (1 | therapist/family), data = d,
               family = binomial("cloglog"))
  s <- coef(summary(m))$cond[, 2]
})[["elapsed"]]
cat(t, format(as.numeric(logLik(m)), digits = 14), paste(s),
    as.character(packageVersion("glmmTMB")))
"""


def hazard_rows(n_rows: int, seed: int = 1) -> pd.DataFrame:
    """Simulate families that attend up to 20 sessions, some of which drop out."""
    rng = np.random.default_rng(seed)
    n_families = int(n_rows / 9.4)
    n_therapists = max(n_families // 20, 20)
    therapist = rng.integers(0, n_therapists, n_families)
    experience = rng.standard_normal(n_therapists)
    u = 0.5 * rng.standard_normal(n_therapists)[therapist] + 0.6 * rng.standard_normal(n_families)
    alliance = rng.standard_normal(n_families)
    alive = np.arange(n_families)
    frames = []
    for session in range(1, 21):
        alliance[alive] = 0.7 * alliance[alive] + 0.7 * rng.standard_normal(len(alive))
        eta = -3.2 + 0.01 * session - 0.4 * alliance[alive]
        eta = eta - 0.2 * experience[therapist[alive]] + u[alive]
        event = rng.random(len(alive)) < -np.expm1(-np.exp(eta))
        frames.append(
            pd.DataFrame(
                {
                    "therapist": therapist[alive],
                    "family": alive,
                    "session": session,
                    "alliance": alliance[alive],
                    "experience": experience[therapist[alive]],
                    "event": event.astype(int),
                }
            )
        )
        alive = alive[~event & (rng.random(len(alive)) > 0.04)]
    return pd.concat(frames, ignore_index=True).head(n_rows)


def main(sizes: tuple[int, ...]) -> int:
    rscript = shutil.which("Rscript")
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    for size in sizes:
        data = hazard_rows(size)
        with threadpool_limits(1):
            begin = time.perf_counter()
            model = glmm(FORMULA, data, link="cloglog")
            table = model.tidy()
            ours = time.perf_counter() - begin
        print(f"{len(data):,} rows: glmm {ours:.2f} s, log-likelihood {model.log_lik:.6f}")
        if rscript is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "hazards.csv"
            data.to_csv(path, index=False)
            out = subprocess.run(
                [rscript, "-e", R_SCRIPT, str(path)], check=True, capture_output=True, text=True
            )
        theirs, log_lik, *errors, version = out.stdout.split()
        off = np.abs(table.std_error / np.array(errors, dtype=float) - 1.0).max()
        print(
            f"  glmmTMB {version} {float(theirs):.1f} s, log-likelihood {float(log_lik):.6f}: "
            f"{float(theirs) / ours:.0f} times as long; standard errors differ by {off:.1e}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(tuple(map(int, sys.argv[1:])) or SIZES))
