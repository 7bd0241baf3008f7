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
write_reference(list(
  cbpp = limits(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
                      family = binomial, control = tight)),
  grouse_brood = limits(glmer(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), grouseticks, family = poisson,
                              control = tight))
), packages = "lme4")
