# Profile intervals of lme4 (its profile is of the ML deviance, whatever the fit).
source("common.R")
suppressPackageStartupMessages(library(lme4))
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
interval <- function(formula, data) {
  model <- lmer(formula, data, REML = FALSE, control = tight)
  found <- confint(profile(model, signames = FALSE, devtol = 1e-6, maxpts = 300, delta = 0.15), level = 0.95)
  list(names = rownames(found), low = found[, 1], high = found[, 2])
}
# Profile intervals of the levels' shares of variance, from lme4's own REML deviance function: the
# share is held, the other relative SDs are free.
share_interval <- function(formula, data, level) {
  model <- lmer(formula, data, control = tight)
  devfun <- lmer(formula, data, control = tight, devFunOnly = TRUE)
  theta <- getME(model, "theta"); k <- length(theta); lowest <- devfun(theta)
  rise <- function(share) {
    at <- function(free) { w <- numeric(k)
      if (level > k) { w <- c(exp(free), 1); w <- (1 - share) / share * w / sum(w) }
      else { w[-level] <- exp(free); w[level] <- share / (1 - share) * (1 + sum(w[-level])) }
      devfun(sqrt(w)) }
    if (k == 1) return(at(numeric(0)) - lowest)
    ends <- sapply(c(-8, -3, 0, 2, 4), function(s) optimize(at, s + c(-6, 6), tol = 1e-11)$objective)
    min(ends) - lowest
  }
  estimate <- c(theta^2, 1)[level] / (1 + sum(theta^2))
  end <- function(a, b) if ((rise(a) - qchisq(.95, 1)) * (rise(b) - qchisq(.95, 1)) > 0) NA else
    uniroot(function(s) rise(s) - qchisq(.95, 1), c(a, b), tol = 1e-10)$root
  c(estimate, end(1e-9, max(estimate, 2e-9)), end(max(estimate, 1e-9), 1 - 1e-9))
}
shares <- function(formula, data, levels) lapply(levels, function(l) share_interval(formula, data, l))
write_reference(list(
  sleepstudy = interval(Reaction ~ Days + (1 + Days | Subject), sleepstudy),
  uncorrelated = interval(Reaction ~ Days + (1 + Days || Subject), sleepstudy),
  pastes = interval(strength ~ 1 + (1 | batch/cask), Pastes),
  penicillin = interval(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin),
  dyestuff2 = interval(Yield ~ 1 + (1 | Batch), Dyestuff2),
  # in the order of lme4's theta, the residual last
  shares = list(dyestuff = shares(Yield ~ 1 + (1 | Batch), Dyestuff, 1:2),
                dyestuff2 = shares(Yield ~ 1 + (1 | Batch), Dyestuff2, 1:2),
                pastes = shares(strength ~ 1 + (1 | batch/cask), Pastes, 1:3))
), packages = "lme4")
