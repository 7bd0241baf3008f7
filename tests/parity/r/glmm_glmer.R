# glmer: Laplace and adaptive Gauss-Hermite quadrature, with the derivative-free optimiser run to
# its end. Its deviance with nAGQ > 1 leaves constants out, so the exact log-likelihood is also
# integrated here, unit by unit, at glmer's estimates.
source("common.R")
suppressPackageStartupMessages(library(lme4))
data(cbpp, VerbAgg, grouseticks, package = "lme4")
tight <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                      tolPwrss = 1e-13, check.conv.grad = "ignore", check.conv.hess = "ignore")

describe <- function(m) {
  cf <- coef(summary(m))
  list(log_lik = as.numeric(logLik(m)), term = rownames(cf), estimate = unname(cf[, 1]),
       std_error = unname(cf[, 2]), sd = as.data.frame(VarCorr(m))$sdcor,
       group = as.data.frame(VarCorr(m))$grp, mode = as.data.frame(ranef(m))$condval,
       mode_sd = as.data.frame(ranef(m))$condsd,
       mode_group = as.character(as.data.frame(ranef(m))$grpvar),
       mode_level = as.character(as.data.frame(ranef(m))$grp))
}

exact <- function(m, data) {
  beta <- fixef(m); sd <- attr(VarCorr(m)$herd, "stddev")
  eta <- as.vector(model.matrix(m) %*% beta)
  sum(sapply(split(seq_len(nrow(data)), data$herd), function(i) {
    f <- function(u) sapply(u, function(v) exp(sum(dbinom(
      data$incidence[i], data$size[i], plogis(eta[i] + sd * v), log = TRUE)) + 30) * dnorm(v))
    log(integrate(f, -8, 8, rel.tol = 1e-11, subdivisions = 2000)$value) - 30
  }))
}

cb <- function(nodes) glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
                            family = binomial, nAGQ = nodes, control = tight)
VerbAgg$yes <- as.integer(VerbAgg$r2 == "Y")
VerbAgg$one <- VerbAgg$Anger - 20
agq <- lapply(c(1, 2, 5, 25), function(k) {
  m <- cb(k); c(describe(m), list(nodes = k, exact = exact(m, cbpp)))
})
binary <- lapply(c(1, 7), function(k) c(
  describe(glmer(yes ~ Anger + Gender + btype + (1 | id), VerbAgg, family = binomial, nAGQ = k,
                 control = tight)), list(nodes = k)))
grouseticks$cHEIGHT <- grouseticks$HEIGHT - mean(grouseticks$HEIGHT)
poisson_agq <- lapply(c(1, 9), function(k) c(
  describe(glmer(TICKS ~ YEAR + cHEIGHT + (1 | BROOD), grouseticks, family = poisson, nAGQ = k,
                 control = tight)), list(nodes = k)))
ticks <- describe(glmer(TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION),
                        grouseticks, family = poisson, control = tight))
write_reference(list(cbpp = agq, verbagg = binary, grouse_brood = poisson_agq,
                     grouseticks = ticks), packages = "lme4")
