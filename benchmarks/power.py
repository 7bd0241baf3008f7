"""Planned studies beside the same plan in R: CPU seconds a study.

Run as ``python -m benchmarks.power [STUDIES [IN_R [IN_R_BY_KENWARD_ROGER]]]``; 200, 20 and none if
not told otherwise. A study has 30 therapists and 240 families, about 5,900 rows: it is simulated,
analysed by ``lmm`` with df and by ``discrete_hazard`` of its person-periods. R has the same studies
(simulated by ours, whose seconds count for both), lays out the person-periods itself, and fits
lmerTest and glmmTMB. What is compared are Satterthwaite's df on both sides, lmerTest's own choice;
Kenward and Roger's take pbkrtest minutes a study and are timed where asked for. CPU seconds on one
thread, one after the other; starting either language, reading files and a first study are not
counted. R is left out where Rscript is not installed.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
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
DESIGN = StudyDesign(therapists=30, families=240)
SIZES = (200, 20, 0)
R_SCRIPT = """
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(glmmTMB)})
a <- commandArgs(TRUE); n <- as.integer(a[2]); n_kr <- as.integer(a[3])
d <- lapply(seq_len(n) - 1, function(i) read.csv(sprintf("%s/s%d.csv", a[1], i)))
periods_of <- function(s) {
  g <- s[!duplicated(s$family), c("family", "therapist", "ending", "investment", "parent_trauma",
                                  "therapist_emotion")]
  n <- tapply(s$session, s$family, max)
  d <- g[rep(seq_len(nrow(g)), n[g$family]), ]
  d$session <- sequence(n[g$family])
  d$alliance <- tapply(s$alliance, list(s$family, s$session), mean, na.rm = TRUE)[
    cbind(d$family, d$session)]
  seen <- !is.na(d$alliance)
  d$alliance_running_mean <- ave(ifelse(seen, d$alliance, 0), d$family, FUN = cumsum) /
    ave(as.numeric(seen), d$family, FUN = cumsum)
  last <- d$session == n[d$family]
  d$event <- as.numeric(last & d$ending == "dropout")
  d[!(last & d$ending != "dropout"), ]
}
rating <- function(s) suppressMessages(lmerTest::lmer(alliance ~ session + role + experience +
  framework + investment + parent_trauma + therapist_emotion + (1 | therapist/family/person), s))
plan <- function(s) {
  p <- coef(summary(rating(s)))["experience", "Pr(>|t|)"]
  g <- glmmTMB(event ~ session + alliance_running_mean + investment + parent_trauma +
    therapist_emotion + (1 | therapist), data = periods_of(s), family = binomial)
  c(p, coef(summary(g))$cond["alliance_running_mean", 1])
}
invisible(plan(d[[1]]))
t <- system.time(found <- sapply(d, plan), gcFirst = TRUE)
kr <- system.time(for (s in head(d, n_kr)) coef(summary(rating(s), ddf = "Kenward-Roger")))
cat(jsonlite::toJSON(list(seconds = sum(t[1:2]), kr = sum(kr[1:2]), p = found[1, ], h = found[2, ],
  version = sprintf("R %s.%s, lme4 %s, lmerTest %s, glmmTMB %s", R.version$major, R.version$minor,
    packageVersion("lme4"), packageVersion("lmerTest"), packageVersion("glmmTMB"))),
  auto_unbox = TRUE, digits = NA))
"""


def periods_of(sessions: pd.DataFrame) -> pd.DataFrame:
    """Return what the hazard is fitted to: families' intervals, dropout against going on."""
    rows = person_period(
        sessions.assign(attended=True),
        unit="family",
        session="session",
        ending="ending",
        attended="attended",
        scores=["alliance"],
    )
    rows = running_mean(rows, "alliance", person="family", session="session")
    return rows[rows["event"].notna() & ~(rows["event"].eq(0) & rows["ending_code"].ne(0))]


def seconds(n: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Return CPU seconds of simulation, rating, its second df and leaving; answers; mean rows."""
    found, clock, rows = [], [], []
    for place in range(n):
        at = [time.process_time()]
        study = DESIGN.draw(np.random.default_rng([1, place]))
        at.append(time.process_time())
        p = RATING(study)["p_value"].iloc[0]
        at.append(time.process_time())
        log_odds = LEAVING(study)["estimate"].iloc[0]
        at.append(time.process_time())
        replace(RATING, df_method="kenward-roger")(study)
        at.append(time.process_time())
        clock.append(np.diff(at))
        found.append((p, log_odds))
        rows.append(len(study.sessions))
    return np.array(clock), np.array(found), float(np.mean(rows))


def main(n: int, n_in_r: int, n_kr: int) -> None:
    """Print our seconds a study, what 10,000 take, and R's."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )
    with threadpool_limits(1):
        seconds(1)  # what is loaded at the first study is no more counted than starting is
        clock, found, rows = seconds(n)
    draw, rating, leaving, kr = clock.mean(axis=0)
    each = draw + rating + leaving
    print(
        f"{n} studies of {rows:,.0f} rows: {each:.4f} CPU s each (simulation {draw:.3f}, lmm with "
        f"Satterthwaite's df {rating:.3f}, with Kenward and Roger's {kr:.3f}, person-periods and "
        f"discrete_hazard {leaving:.3f})"
    )
    print(f"10,000 of them: {10_000 * each / 3600 / 2:.2f} h on two cores")
    if shutil.which("Rscript"):
        in_r(clock[:n_in_r].mean(axis=0), found, n_in_r, n_kr)


def in_r(clock: Sequence[float], ours: np.ndarray, n: int, n_kr: int) -> None:
    """Print R's seconds a study for the same studies, the ratio, and how far answers are apart."""
    with tempfile.TemporaryDirectory() as folder:
        for place in range(n):
            sessions = DESIGN.draw(np.random.default_rng([1, place])).sessions
            sessions.to_csv(Path(folder) / f"s{place}.csv", index=False)
        script = Path(folder) / "plan.R"
        script.write_text(R_SCRIPT, encoding="utf-8")
        said = subprocess.run(
            ["Rscript", str(script), folder, str(n), str(n_kr)], capture_output=True, text=True,
            check=True, env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        ).stdout  # fmt: skip
    theirs = json.loads(said)
    draw, rating, leaving, kr = clock
    in_all = theirs["seconds"] / n + draw
    print(
        f"{theirs['version']}: {in_all:.2f} CPU s each, our simulation among them, "
        f"{in_all / (draw + rating + leaving):.1f} times ours (Satterthwaite's df on both sides)"
    )
    if n_kr:
        slow = theirs["kr"] / n_kr
        print(
            f"Kenward and Roger's df, the mixed model alone: {slow:.1f} CPU s each, ours {kr:.3f}, "
            f"{slow / kr:,.0f} times as long"
        )
    gaps = np.abs(ours[:n] - np.column_stack([theirs["p"], theirs["h"]])).max(axis=0)
    print(f"largest gaps: p {gaps[0]:.1e}, log odds ratio {gaps[1]:.1e}")


if __name__ == "__main__":
    asked = [int(size) for size in sys.argv[1:]]
    main(*(asked + list(SIZES)[len(asked) :]))
