"""Counts and ratings in steps beside R: CPU seconds of 60,000 rows in nested levels.

Run as ``python -m benchmarks.families [ROWS]``; needs Rscript with glmmTMB and ordinal. Both sides
fit from the frame and give standard errors, one after the other on one thread, in the same run;
CPU seconds, which do not depend on what else the machine does.
"""

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
import scipy
from threadpoolctl import threadpool_limits

from alliance_stats.multilevel import glmm, ordinal

ROWS = 60_000
TIMED = """
d <- read.csv(commandArgs(TRUE)[1])
for (g in c("therapist", "family", "person")) d[[g]] <- factor(d[[g]])
t <- system.time({{ {fit}; s <- {errors} }})
cat(t[["user.self"]] + t[["sys.self"]], format(as.numeric(logLik(m)), digits = 14),
    as.character(packageVersion("{package}")))
"""
COUNTS = {
    "package": "glmmTMB",
    "fit": "library(glmmTMB); m <- glmmTMB(missed ~ session + alliance + "
    "(1 | therapist/family), d, family = nbinom2())",
    "errors": "coef(summary(m))$cond[, 2]",
}
STEPS = {
    "package": "ordinal",
    "fit": "library(ordinal); m <- clmm(factor(rating) ~ session + alliance + (1 | therapist) + "
    "(1 | family) + (1 | person), data = d)",
    "errors": "coef(summary(m))[, 2]",
}


def rows_of(n_rows: int, seed: int = 1) -> pd.DataFrame:
    """Simulate sessions of persons in families under therapists."""
    rng = np.random.default_rng(seed)
    n_persons = n_rows // 12
    family = np.arange(n_persons) // 3
    therapist = rng.integers(0, max(family.max() // 18, 10), family.max() + 1)[family]
    person = np.repeat(np.arange(n_persons), 12)
    session, alliance = np.tile(np.arange(12), n_persons), rng.standard_normal(n_persons * 12)
    u = 0.4 * rng.standard_normal(therapist.max() + 1)[therapist]
    u = u + 0.5 * rng.standard_normal(family.max() + 1)[family]
    eta = 0.2 - 0.02 * session + 0.2 * alliance + u[person]
    own = 0.6 * rng.standard_normal(n_persons)[person]
    latent = eta + own + rng.logistic(size=len(eta))
    return pd.DataFrame(
        {
            "therapist": therapist[person],
            "family": family[person],
            "person": person,
            "session": session,
            "alliance": alliance,
            "missed": rng.negative_binomial(1.5, 1.5 / (1.5 + np.exp(eta))),
            "rating": 1 + np.digitize(latent, [-1.5, -0.3, 0.8, 2.0]),
        }
    )


def compare(name: str, fit: Callable[[], float], data: pd.DataFrame, r: dict[str, str]) -> None:
    """Time one model on both sides and print a line each."""
    with threadpool_limits(1):
        begin = time.process_time()
        log_lik = fit()
        ours = time.process_time() - begin
    print(f"{len(data):,} rows, {name}: {ours:.2f} CPU s, log-likelihood {log_lik:.6f}", flush=True)
    rscript = shutil.which("Rscript")
    if rscript is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        data.to_csv(path, index=False)
        script = TIMED.format(**r)
        out = subprocess.run(
            [rscript, "-e", script, str(path)], check=True, capture_output=True, text=True
        )
    theirs, found, version = out.stdout.split()[-3:]
    print(
        f"  {r['package']} {version} {float(theirs):.1f} CPU s, log-likelihood {float(found):.6f}: "
        f"{float(theirs) / ours:.0f} times as long",
        flush=True,
    )


def main(n_rows: int) -> int:
    print(f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}")
    data = rows_of(n_rows)

    def counts() -> float:
        formula = "missed ~ session + alliance + (1 | therapist/family)"
        model = glmm(formula, data, family="negative binomial")
        model.tidy()
        return model.log_lik

    def steps() -> float:
        model = ordinal("rating ~ session + alliance + (1 | therapist/family/person)", data)
        model.tidy()
        return model.log_lik

    compare("negative binomial, two nested levels", counts, data, COUNTS)
    compare("ratings in five steps, three nested levels", steps, data, STEPS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
