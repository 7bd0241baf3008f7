# Profile likelihood intervals of random-effects SDs by lme4, from profiles of fine steps.
source("common.R")
suppressPackageStartupMessages(library(lme4))
data(cbpp, grouseticks, package = "lme4")
tight <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                      tolPwrss = 1e-13, check.conv.grad = "ignore", check.conv.hess = "ignore")
limits <- function(m) {
  n <- length(getME(m, "theta"))
  ci <- suppressWarnings(suppressMessages(
    confint(m, parm = seq_len(n), method = "profile", delta = 0.05)))
  list(group = names(getME(m, "flist")), low = unname(ci[, 1]), high = unname(ci[, 2]))
}
grouseticks$cHEIGHT <- grouseticks$HEIGHT - mean(grouseticks$HEIGHT)
set.seed(4)
slope <- data.frame(g = rep(1:20, each = 12), x = round(rnorm(240), 3))
u <- matrix(rnorm(40), 20) %*% chol(matrix(c(0.6, 0.25, 0.25, 0.4), 2))
slope$y <- rpois(240, exp(0.3 + 0.4 * slope$x + u[slope$g, 1] + u[slope$g, 2] * slope$x))
control <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9))
both <- profile(glmer(y ~ x + (1 + x | g), slope, family = poisson, control = control),
                which = "theta_", signames = FALSE)
both <- confint(both)
write_reference(list(
  slope = list(y = slope$y, x = slope$x, names = rownames(both), low = unname(both[, 1]),
               high = unname(both[, 2])),
  cbpp = limits(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
                      family = binomial, control = tight)),
  grouse_brood = limits(glmer(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), grouseticks, family = poisson,
                              control = tight))
), packages = "lme4")
