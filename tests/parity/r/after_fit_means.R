# Estimated means, contrasts and slopes after a linear mixed model: emmeans, with lmerTest's and
# pbkrtest's degrees of freedom; joint probabilities from mvtnorm at tightened settings.
source("common.R")
suppressPackageStartupMessages({library(lmerTest); library(pbkrtest); library(emmeans); library(mvtnorm)
  library(nlme); library(mlmRev)})
set.seed(1)
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, lmer.df = "satterthwaite",
            pbkrtest.limit = 5000, lmerTest.limit = 5000)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
                     check.conv.grad = .makeCC("ignore", tol = 1, relTol = NULL),
                     check.conv.singular = .makeCC("ignore", tol = 1e-4),
                     check.conv.hess = .makeCC("ignore", tol = 1e-6))

plain <- function(d) {
  d <- as.data.frame(d)
  for (n in names(d)) if (is.factor(d[[n]])) d[[n]] <- factor(as.character(d[[n]]), levels = unique(levels(d[[n]])))
  d
}
oats <- plain(nlme::Oats); oats$nitrof <- factor(oats$nitro)
lost <- c(3, 8, 17, 22, 23, 31, 40, 41, 42, 55, 68)
uneven <- oats[-lost, ]
empty <- droplevels(subset(uneven, !(Variety == "Victory" & nitrof == "0.2")))
machines <- plain(nlme::Machines)[-c(2, 5, 9, 20, 33, 34, 50), ]
exam <- plain(mlmRev::Exam)[, c("normexam", "standLRT", "sex", "type", "schgend", "school")]
exam <- droplevels(exam[exam$school %in% levels(exam$school)[1:20], ])
exam$schavg0 <- ave(exam$standLRT, exam$school)
sleep <- plain(lme4::sleepstudy)
sleep$late <- as.numeric(sleep$Days > 5)

frames <- list(oats = oats, uneven = uneven, empty = empty, machines = machines, exam = exam, sleep = sleep)

cases <- list(
  list(id = "balanced", data = "oats", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof"),
  list(id = "balanced by", data = "oats", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", by = "Variety"),
  list(id = "uneven", data = "uneven", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof"),
  list(id = "uneven two factors", data = "uneven", f = "yield ~ Variety + nitrof + (1 | Block/Variety)", v = c("Variety", "nitrof")),
  list(id = "uneven KR", data = "uneven", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", by = "Variety", df = "kenward-roger"),
  list(id = "uneven normal", data = "uneven", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", df = "asymptotic"),
  list(id = "uneven proportional", data = "uneven", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", w = "proportional"),
  list(id = "uneven cells", data = "uneven", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", w = "cells"),
  list(id = "empty cell", data = "empty", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", by = "Variety"),
  list(id = "empty cell cells", data = "empty", f = "yield ~ Variety * nitrof + (1 | Block/Variety)", v = "nitrof", w = "cells"),
  list(id = "empty cell additive", data = "empty", f = "yield ~ Variety + nitrof + (1 | Block/Variety)", v = "Variety", by = "nitrof"),
  list(id = "covariate", data = "uneven", f = "yield ~ Variety * nitro + (1 | Block/Variety)", v = "Variety"),
  list(id = "covariate at", data = "uneven", f = "yield ~ Variety * nitro + (1 | Block/Variety)", v = "Variety", by = "nitro", at = list(nitro = c(0, 0.3, 0.6))),
  list(id = "machines slopes KR", data = "machines", f = "score ~ Machine + (Machine | Worker)", v = "Machine", df = "kenward-roger"),
  list(id = "machines ML", data = "machines", f = "score ~ Machine + (1 | Worker/Machine)", v = "Machine", reml = FALSE),
  list(id = "exam", data = "exam", f = "normexam ~ standLRT * sex + type + (standLRT | school)", v = "sex", at = list(standLRT = 1)),
  list(id = "exam three", data = "exam", f = "normexam ~ standLRT * sex + type + (standLRT | school)", v = "sex", by = c("type", "standLRT"), at = list(standLRT = c(-1, 1)), w = "proportional"),
  list(id = "two values", data = "sleep", f = "Reaction ~ late * Days + (1 | Subject)", v = "late", at = list(late = c(0, 1), Days = c(2, 4))),
  list(id = "overall", data = "exam", f = "normexam ~ standLRT * sex + type + (standLRT | school)", v = character(0))
)

table_of <- function(s) {
  s <- as.data.frame(s)
  num <- vapply(s, is.numeric, TRUE)
  s[!num] <- lapply(s[!num], as.character)
  s
}

run <- function(case) {
  frame <- frames[[case$data]]
  reml <- if (is.null(case$reml)) TRUE else case$reml
  df <- if (is.null(case$df)) "satterthwaite" else case$df
  w <- if (is.null(case$w)) "equal" else case$w
  m <- suppressMessages(lmerTest::lmer(as.formula(case$f), frame, REML = reml, control = tight))
  specs <- if (length(case$v)) case$v else ~ 1
  args <- list(m, specs, by = case$by, weights = w, lmer.df = df, data = frame, cov.keep = character(0))
  args$at <- case$at
  e <- suppressMessages(do.call(emmeans, args))
  out <- list(id = case$id, data = case$data, formula = case$f, variables = as.list(case$v), by = as.list(case$by),
              at = lapply(case$at, as.list), weights = w, df_method = df, reml = reml,
              means = table_of(summary(e, infer = c(TRUE, FALSE))))
  if (length(case$v)) {
    adjusted <- function(object, a) table_of(summary(object, infer = c(TRUE, TRUE), adjust = a))
    p <- suppressMessages(pairs(e))
    out$pairs <- lapply(setNames(nm = c("none", "holm", "tukey", "mvt")), function(a) adjusted(p, a))
    first <- suppressMessages(contrast(e, "trt.vs.ctrl", ref = 1))
    out$reference <- lapply(setNames(nm = c("none", "holm", "mvt")), function(a) adjusted(first, a))
    # lmerTest's joint F by Fai and Cornelius is emmeans' own for one contrast only: df1, F ratio kept
    jt <- try(suppressMessages(test(p, joint = TRUE)), silent = TRUE)
    if (!inherits(jt, "try-error")) out$joint <- table_of(jt)
  }
  out
}

# Slopes: emtrends, a one-sided difference over delta.var.
slope_cases <- list(
  list(id = "by factor", data = "uneven", f = "yield ~ Variety * nitro + (1 | Block/Variety)", x = "nitro", by = "Variety"),
  list(id = "by factor KR", data = "uneven", f = "yield ~ Variety * nitro + (1 | Block/Variety)", x = "nitro", by = "Variety", df = "kenward-roger"),
  list(id = "by number", data = "exam", f = "normexam ~ standLRT * schavg0 + sex * standLRT + (standLRT | school)", x = "standLRT", by = "schavg0", at = list(schavg0 = c(-0.5, 0, 0.75))),
  list(id = "curved", data = "sleep", f = "Reaction ~ Days + I(Days^2) + (1 | Subject)", py = "Reaction ~ Days + I(Days**2) + (1 | Subject)", x = "Days", by = "Days", at = list(Days = c(0, 3, 9)))
)
slope <- function(case) {
  frame <- frames[[case$data]]
  df <- if (is.null(case$df)) "satterthwaite" else case$df
  m <- suppressMessages(lmerTest::lmer(as.formula(case$f), frame, control = tight))
  args <- list(m, case$by, var = case$x, lmer.df = df, data = frame, at = case$at)
  if (is.null(case$at)) args$at <- NULL
  args$delta.var <- 1e-5
  e <- suppressMessages(do.call(emtrends, args))
  list(id = case$id, data = case$data, formula = if (is.null(case$py)) case$f else case$py, variable = case$x, by = case$by,
       at = lapply(case$at, as.list), df_method = df,
       slopes = setNames(table_of(summary(e, infer = c(TRUE, TRUE)))[c(case$by, paste0(case$x, ".trend"), "SE", "df", "t.ratio", "p.value", "lower.CL", "upper.CL")],
                         c("at", "estimate", "std_error", "df", "statistic", "p_value", "conf_low", "conf_high")),
       pairs = table_of(pairs(e, adjust = "none")))
}

# P(max|T| > c) by randomised quasi Monte Carlo at 1e-5, whole df as mvtnorm wants them.
joint_case <- function(K, V, df, at) {
  R <- cov2cor(K %*% V %*% t(K))
  p <- vapply(at, function(c) 1 - pmvt(rep(-c, nrow(R)), rep(c, nrow(R)), df = df, corr = R,
         algorithm = GenzBretz(maxpts = 2e6, abseps = 1e-5))[1], 0)
  list(correlation = R, df = df, at = at, p_value = p)
}
pairwise <- function(k) do.call(rbind, combn(k, 2, function(ij) { r <- numeric(k); r[ij] <- c(1, -1); r }, simplify = FALSE))
dunnett <- function(k) cbind(-1, diag(k - 1))
V4 <- diag(c(1, 0.3, 2.5, 0.7)) + 0.2
at <- c(0.8, 1.7, 2.4, 3.3)
joints <- list(
  joint_case(pairwise(3), diag(c(1, 0.2, 3)), 7, at), joint_case(pairwise(4), V4, 12, at),
  joint_case(pairwise(4), V4, 0, at), joint_case(dunnett(4), V4, 5, at), joint_case(dunnett(3), diag(3), 30, at),
  joint_case(diag(5), crossprod(matrix(sin(1:40), 8)), 9, at))

levels_of <- function(d) Filter(Negate(is.null), lapply(d, levels))
write_reference(list(frames = frames, levels = lapply(frames, levels_of), cases = lapply(cases, run), slopes = lapply(slope_cases, slope), joints = joints),
                packages = c("emmeans", "lme4", "lmerTest", "pbkrtest", "mvtnorm"))
