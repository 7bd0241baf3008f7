# Gamma frailty whose variance is next to nothing, or nothing at all (survival), with tightened
# controls. Therapists' families, times in whole sessions.
source("common.R")
suppressPackageStartupMessages(library(survival))

therapists <- 30
simulated <- function(seed, variance) {
  set.seed(seed)
  w <- if (variance > 0) rgamma(therapists, 1 / variance, 1 / variance) else rep(1, therapists)
  d <- expand.grid(family = 1:4, therapist = seq_len(therapists))
  d$alliance <- round(rnorm(nrow(d)), 4)
  d$barrier <- rbinom(nrow(d), 1, .5)
  left_at <- ceiling(rexp(nrow(d)) / (.06 * w[d$therapist] * exp(-.7 * d$alliance + .4 * d$barrier)))
  seen_to <- pmin(ceiling(rexp(nrow(d), .05)), 60)
  d$time <- pmin(left_at, seen_to)
  d$left <- as.numeric(left_at <= seen_to)
  d[, c("therapist", "alliance", "barrier", "time", "left")]
}
fitted <- function(data, ties) {
  fit <- coxph(Surv(time, left) ~ alliance + barrier +
                 frailty(therapist, eps = 1e-12, sparse = FALSE), data, ties = ties,
               control = coxph.control(eps = 1e-13, iter.max = 200, outer.max = 200,
                                       toler.chol = 1e-14))
  h <- fit$history[[1]]
  list(coef = unname(coef(fit)[1:2]), se = unname(sqrt(diag(as.matrix(fit$var)))[1:2]),
       theta = h$theta, loglik = h$c.loglik)
}
both <- function(data) {
  list(data = data, efron = fitted(data, "efron"), breslow = fitted(data, "breslow"))
}
write_reference(list(little = both(simulated(1, .02)), none = both(simulated(1, 0))),
                packages = "survival")
