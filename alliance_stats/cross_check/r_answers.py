"""The same question put to R, where it is installed: lme4, survival and metafor.

R runs as a separate process, on files in a folder that is removed afterwards; only the numbers are
kept.
"""

import json
import math
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.cross_check.second_answer import ITERATED, Answer, both, not_asked
from alliance_stats.evidence import MetaAnalysis
from alliance_stats.multilevel import LinearMixedModel
from alliance_stats.survival import CoxModel

__all__ = ["of_cox_in_r", "of_meta_in_r", "of_mixed_in_r", "r_is_installed"]

_SECONDS = 600
_STRUCTURE = "lme4 has neither residual structures nor known variances; nlme and metafor have"
_PLAIN = "asked of counts and events by Laplace's approximation, without offset"
_WRITE = """
args <- commandArgs(trailingOnly = TRUE)
d <- read.csv(args[1], check.names = FALSE, colClasses = "numeric")
say <- function(...) cat(jsonlite::toJSON(list(...), digits = NA, auto_unbox = FALSE))
version <- function(name) as.character(utils::packageVersion(name))
"""
_MIXED = (
    _WRITE
    + """
suppressMessages(library(lme4))
f <- as.formula(args[2])
tight <- list(xtol_abs = 1e-12, ftol_abs = 1e-12)
if (args[3] == "gaussian") {
  m <- suppressWarnings(lmer(f, d, REML = args[4] == "TRUE", weights = w,
    control = lmerControl(optimizer = "nloptwrap", optCtrl = tight, calc.derivs = FALSE)))
} else {
  m <- suppressWarnings(glmer(f, d, family = get(args[3])(link = args[4]), weights = w,
    control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-12,
      optCtrl = list(rhoend = 1e-10, maxfun = 1e5))))
}
v <- as.data.frame(VarCorr(m)); v <- v[is.na(v$var2), ]
say(beta = unname(fixef(m)), se = unname(sqrt(diag(as.matrix(vcov(m))))), group = v$grp,
  effect = ifelse(is.na(v$var1), "", v$var1), sd = v$sdcor, log_lik = as.numeric(logLik(m)),
  version = version("lme4"))
"""
)
_COX = (
    _WRITE
    + """
suppressMessages(library(survival))
x <- as.matrix(d[, grep("^x", names(d)), drop = FALSE])
s <- Surv(d$start, d$stop, d$event)
control <- coxph.control(eps = 1e-11, iter.max = 100)
if ("cluster" %in% names(d)) {
  m <- coxph(s ~ x + offset(o) + strata(stratum), d, weights = w, ties = args[2],
    cluster = cluster, control = control)
} else m <- coxph(s ~ x + offset(o) + strata(stratum), d, weights = w, ties = args[2],
    control = control)
say(beta = unname(coef(m)), se = unname(sqrt(diag(vcov(m)))), log_lik = m$loglik[2],
  version = version("survival"))
"""
)
_META = (
    _WRITE
    + """
suppressMessages(library(metafor))
x <- as.matrix(d[, grep("^x", names(d)), drop = FALSE])
m <- rma(d$y, d$v, mods = x, intercept = FALSE, method = args[2], test = args[3],
  control = list(threshold = 1e-12, maxiter = 10000))
say(beta = as.numeric(m$beta), se = m$se, tau2 = m$tau2, version = version("metafor"))
"""
)


def r_is_installed() -> bool:
    """Say whether R is installed."""
    return shutil.which("Rscript") is not None


def _ask(script: str, frame: pd.DataFrame, *arguments: str) -> dict[str, Any] | str:
    """Return R's answer, or its error."""
    with tempfile.TemporaryDirectory() as folder:
        data, code = Path(folder) / "data.csv", Path(folder) / "ask.R"
        frame.to_csv(data, index=False, float_format="%.17g")
        code.write_text(script, encoding="utf-8")
        command = ["Rscript", "--vanilla", str(code), str(data), *arguments]
        try:
            ran = subprocess.run(
                command, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return f"R took longer than {_SECONDS} s"
    if ran.returncode:
        said = ran.stderr.strip().splitlines()
        return f"R refused: {said[-1] if said else 'no message'}"
    found: dict[str, Any] = json.loads(ran.stdout[ran.stdout.index("{") :])
    return found


def of_mixed_in_r(model: Any) -> Iterator[Answer]:
    """Check coefficients, errors, SDs and the log-likelihood by lme4, from the same columns."""
    design, linear = model.design, isinstance(model, LinearMixedModel)
    terms = [str(design.fixed.names[i]) for i in design.fixed.kept]
    beta, errors = np.asarray(model.beta), np.sqrt(np.diag(model.vcov()))
    structured = linear and (model.fit.problem.shape is not None or model.fit.problem.known)
    many = not linear and (
        model.fit.nodes > 1 or model.fit.family.name not in ("binomial", "poisson")
    )
    if structured or not design.groupings or design.offset is not None or many:
        reason = _STRUCTURE if structured else _PLAIN
        for term, b in zip(terms, beta, strict=True):
            yield not_asked(term, "estimate", b, "R, lme4", reason)
        return
    columns, formula, names = _asked_of_lme4(model)
    kind = ("gaussian", str(model.fit.problem.reml).upper()) if linear else (
        model.fit.family.name, model.fit.family.link)  # fmt: skip
    found = _ask(_MIXED, pd.DataFrame(columns), formula, *kind)
    if isinstance(found, str):
        yield not_asked("model", "log_lik", -model.fit.deviance / 2.0, "R, lme4", found)
        return
    who = f"R, lme4 {found['version'][0]}"
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", beta[i], found["beta"][i], who, close=ITERATED, scale=errors[i]
        )
        yield both(term, "std_error", errors[i], found["se"][i], who, close=5 * ITERATED)
    own_spreads = model.covariances()
    for group, effect, sd in zip(found["group"], found["effect"], found["sd"], strict=True):
        plain = str(group).split(".")[0]
        if plain not in names:
            ours, label = float(model.fit.sigma), "Residual"
        else:
            frame = own_spreads[names[plain]]
            value = float(frame.loc[names[effect], names[effect]])
            ours, label = math.sqrt(value), f"{names[plain]}, {names[effect]}"
        scale = max(ours, 0.05 * float(getattr(model.fit, "sigma", 1.0)))
        yield both(label, "sd", ours, sd, who, close=5 * ITERATED, scale=scale)
    yield both("model", "log_lik", -model.fit.deviance / 2.0, found["log_lik"][0], who,
               close=2e-3, scale=1.0)  # fmt: skip


def _asked_of_lme4(model: Any) -> tuple[dict[str, Any], str, dict[str, str]]:
    """Return a model's columns under plain names, its formula, and what the names stand for."""
    design, linear = model.design, isinstance(model, LinearMixedModel)
    n_terms = len(design.fixed.kept)
    columns: dict[str, Any] = {f"x{i}": design.X[:, i] for i in range(n_terms)}
    weights = design.root_weights**2 if linear else model.fit.problem.outcome.trials
    y = design.y if linear else model.fit.problem.outcome.y / weights
    if not linear and model.fit.family.name == "poisson":
        y, weights = model.fit.problem.outcome.y, np.ones(len(design.y))
    columns |= {"y": y, "w": np.broadcast_to(weights, len(design.y))}
    random, names = [], {}
    for g, grouping in enumerate(design.groupings):
        columns[f"g{g}"] = grouping.codes
        names[f"g{g}"] = grouping.name
        for t, basis in enumerate(grouping.terms):
            Z = np.asarray(basis.coding.columns(design.frame), dtype=float)
            own = [f"z{g}_{t}_{k}" for k in range(Z.shape[1])]
            columns |= dict(zip(own, Z.T, strict=True))
            names |= dict(zip(own, map(str, basis.names), strict=True))
            random.append(f"(0 + {' + '.join(own)} | g{g})")
    fixed = " + ".join(f"x{i}" for i in range(n_terms))
    return columns, f"y ~ 0 + {fixed} + {' + '.join(random)}", names


def of_cox_in_r(result: CoxModel) -> Iterator[Answer]:
    """Check coefficients, errors and the log partial likelihood by survival's coxph."""
    intervals, design = result.intervals, result.design
    terms = list(design.terms)
    if result.frailty is not None:
        for term, b in zip(terms, result.beta, strict=True):
            yield not_asked(term, "estimate", b, "R, survival", "its frailty() stops early")
        return
    columns: dict[str, Any] = {f"x{i}": x for i, x in enumerate(design.X * design.scale[:, None])}
    columns |= {"start": intervals.entry, "stop": intervals.exit, "stratum": intervals.stratum}
    columns["event"] = (intervals.event > 0).astype(int)
    weights = np.ones(len(intervals.exit))
    if result.sets.case_weight is not None:
        weights[result.sets.order] = result.sets.case_weight
    columns["w"] = weights
    columns["o"] = np.zeros(len(weights)) if intervals.offset is None else intervals.offset
    if intervals.cluster is not None:
        columns["cluster"] = intervals.cluster
    found = _ask(_COX, pd.DataFrame(columns), result.ties)
    if isinstance(found, str):
        yield not_asked("model", "log_lik", result.fit.at.log_lik, "R, survival", found)
        return
    who = f"R, survival {found['version'][0]}"
    errors = np.sqrt(np.diag(result.covariance))
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", result.beta[i], found["beta"][i], who, close=1e-5, scale=errors[i]
        )
        yield both(term, "std_error", errors[i], found["se"][i], who, close=1e-5)


def of_meta_in_r(result: MetaAnalysis) -> Iterator[Answer]:
    """Check coefficients, errors and tau2 by metafor's rma."""
    effects = result.effects
    terms = [str(term) for term in effects.terms]
    if effects.studies is not None:
        for term, b in zip(terms, result.fit.beta, strict=True):
            yield not_asked(term, "estimate", b, "R, metafor", "asked of two levels only")
        return
    columns = {f"x{i}": x for i, x in enumerate(effects.X.T)} | {"y": effects.y, "v": effects.v}
    kind = {"fixed": "FE"}.get(result.estimator, result.estimator)
    test = {"normal": "z", "t": "t"}.get(result.test, "knha")
    found = _ask(_META, pd.DataFrame(columns), kind, test)
    if isinstance(found, str):
        yield not_asked("variance between studies", "tau2", result.tau2, "R, metafor", found)
        return
    who = f"R, metafor {found['version'][0]}"
    errors = np.sqrt(np.diag(result.vcov()))
    for i, term in enumerate(terms):
        yield both(
            term, "estimate", result.fit.beta[i], found["beta"][i], who, close=1e-5, scale=errors[i]
        )
        yield both(term, "std_error", errors[i], found["se"][i], who, close=1e-5)
    yield both("variance between studies", "tau2", result.tau2, found["tau2"][0], who,
               close=1e-5, scale=max(result.tau2, float(effects.v.mean())))  # fmt: skip
