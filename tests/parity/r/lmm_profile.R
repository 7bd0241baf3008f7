# Profile intervals of lme4 (its profile is of the ML deviance, whatever the fit).
source("common.R")
suppressPackageStartupMessages(library(lme4))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
interval <- function(formula, data) {
  model <- lmer(formula, data, REML = FALSE, control = tight)
  found <- confint(profile(model, signames = FALSE, devtol = 1e-6, maxpts = 300, delta = 0.15), level = 0.95)
  list(names = rownames(found), low = found[, 1], high = found[, 2])
}
write_reference(list(
  sleepstudy = interval(Reaction ~ Days + (1 + Days | Subject), sleepstudy),
  uncorrelated = interval(Reaction ~ Days + (1 + Days || Subject), sleepstudy),
  pastes = interval(strength ~ 1 + (1 | batch/cask), Pastes),
  penicillin = interval(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
  dyestuff2 = interval(Yield ~ 1 + (1 | Batch), Dyestuff2)
), packages = "lme4")
