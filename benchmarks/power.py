"""Planned studies beside the same plan in R: CPU seconds a study.

Run as ``python -m benchmarks.power [STUDIES [STUDIES_IN_R]]``; 200 and 20 if not told otherwise. A
study has 30 therapists and 240 families, about 5,900 rows: it is simulated, analysed by ``lmm``
with Satterthwaite's df and by ``discrete_hazard``. R reads the same studies (simulated by ours,
which costs R nothing) and fits lmerTest and glmmTMB. CPU seconds on one thread, one after the
other; starting either language is not counted. R is left out where Rscript is not installed.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from alliance_stats.power import DropoutEffect, ModelEffect, StudyDesign
from alliance_stats.transforms import person_period, running_mean

RATING = ModelEffect(
    formula="alliance ~ session + role + experience + framework + investment + parent_trauma + "
    "therapist_emotion + (1 | therapist/family/person)",
    term="experience",
    parameter="alliance.experience",
)
LEAVING = DropoutEffect()
SIZES = (200, 20)
R_SCRIPT = """
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(glmmTMB)})
a <- commandArgs(TRUE); n <- as.integer(a[2]); p <- numeric(n); h <- numeric(n)
d <- lapply(seq_len(n) - 1, function(i) list(
  s = read.csv(sprintf("%s/s%d.csv", a[1], i)), h = read.csv(sprintf("%s/h%d.csv", a[1], i))))
t <- system.time(for (i in seq_len(n)) {
  m <- suppressMessages(lmerTest::lmer(alliance ~ session + role + experience + framework +
    investment + parent_trauma + therapist_emotion + (1 | therapist/family/person), d[[i]]$s))
  p[i] <- coef(summary(m))["experience", "Pr(>|t|)"]
  g <- glmmTMB(event ~ session + alliance_running_mean + investment + parent_trauma +
    therapist_emotion + (1 | therapist), data = d[[i]]$h, family = binomial)
  h[i] <- coef(summary(g))$cond["alliance_running_mean", 1]
}, gcFirst = TRUE)
cat(jsonlite::toJSON(list(seconds = sum(t[1:2]), p = p, h = h,
  version = sprintf("R %s.%s, lme4 %s, lmerTest %s, glmmTMB %s", R.version$major, R.version$minor,
    packageVersion("lme4"), packageVersion("lmerTest"), packageVersion("glmmTMB"))),
  auto_unbox = TRUE, digits = NA))
"""


def periods_of(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return what the hazard is fitted to: families' intervals, dropout against going on."""
    rows = person_period(
        sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    )
    rows = running_mean(rows, "alliance", person="family", session="session")
    return rows[rows["event"].notna() & ~(rows["event"].eq(0) & rows["ending_code"].ne(0))]


def main(n: int, n_in_r: int) -> None:
    """Print our seconds a study, what 10,000 take, and R's."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )
    design = StudyDesign(therapists=30, families=240)
    found, rows, clock = [], [], []
    with threadpool_limits(1):
        for place in range(n):
            start = time.process_time()
            study = design.draw(np.random.default_rng([1, place]))
            found.append((RATING(study)["p_value"].iloc[0], LEAVING(study)["estimate"].iloc[0]))
            clock.append(time.process_time() - start)
            rows.append(len(study.sessions))
    each = float(np.mean(clock))
    print(f"{n} studies of {np.mean(rows):,.0f} rows: {each:.3f} CPU s each")
    print(f"10,000 of them: {10_000 * each / 3600 / 2:.2f} h on two cores")
    if shutil.which("Rscript"):
        in_r(design, n_in_r, each_of_ours=float(np.mean(clock[:n_in_r])), ours=np.array(found))


def in_r(design: StudyDesign, n: int, *, each_of_ours: float, ours: np.ndarray) -> None:
    """Print R's seconds a study for the same studies, the ratio, and how far answers are apart."""
    with tempfile.TemporaryDirectory() as folder:
        for place in range(n):
            sessions = design.draw(np.random.default_rng([1, place])).sessions
            sessions.to_csv(Path(folder) / f"s{place}.csv", index=False)
            periods_of(sessions).to_csv(Path(folder) / f"h{place}.csv", index=False)
        script = Path(folder) / "plan.R"
        script.write_text(R_SCRIPT, encoding="utf-8")
        said = subprocess.run(
            ["Rscript", str(script), folder, str(n)], capture_output=True, text=True, check=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        ).stdout  # fmt: skip
    theirs = json.loads(said)
    seconds = theirs["seconds"] / n
    gaps = np.abs(ours[:n] - np.column_stack([theirs["p"], theirs["h"]])).max(axis=0)
    print(f"{theirs['version']}: {seconds:.2f} CPU s each, {seconds / each_of_ours:.0f} times ours")
    print(f"largest gaps: p {gaps[0]:.1e}, log odds ratio {gaps[1]:.1e}")


if __name__ == "__main__":
    asked = [int(size) for size in sys.argv[1:]]
    main(*(asked + list(SIZES)[len(asked) :]))
