# Discrete-time hazards of therapists with few families: glmer by adaptive quadrature, and exactly.
source("common.R")
suppressPackageStartupMessages(library(lme4))
set.seed(29)
n_therapists <- 70; per_therapist <- 4; last <- 6
n_families <- n_therapists * per_therapist
therapist <- rep(sprintf("T%02d", seq_len(n_therapists)), each = per_therapist)
u <- rep(rnorm(n_therapists, 0, 1.1), each = per_therapist)
barrier <- rbinom(n_families, 1, .4)
rows <- list()
for (i in seq_len(n_families)) for (t in seq_len(last)) {
  alliance <- round(4.5 + .5 * rnorm(1), 2)
  left <- rbinom(1, 1, plogis(-2.4 + .5 * barrier[i] - .6 * (alliance - 4.5) + u[i]))
  rows[[length(rows) + 1]] <- data.frame(family = sprintf("F%03d", i), therapist = therapist[i],
    session = t, alliance = alliance, barrier = barrier[i], event = left)
  if (left == 1) break
}
d <- do.call(rbind, rows)

# the likelihood itself at a fit's estimates, therapist by therapist
exact <- function(m, link) {
  eta <- as.vector(model.matrix(m) %*% fixef(m)); sd <- attr(VarCorr(m)$therapist, "stddev")
  sum(sapply(split(seq_len(nrow(d)), d$therapist), function(i) {
    f <- function(u) sapply(u, function(v)
      prod(dbinom(d$event[i], 1, link$linkinv(eta[i] + sd * v))) * dnorm(v))
    log(integrate(f, -9, 9, rel.tol = 1e-11, subdivisions = 2000)$value)
  }))
}
tight <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
fits <- list()
for (link in c("logit", "cloglog")) for (nodes in c(1, 5, 25)) {
  if (link == "cloglog" && nodes < 25) next  # glmer's mode is of the expected information there
  m <- glmer(event ~ 0 + factor(session) + alliance + barrier + (1 | therapist), d,
             family = binomial(link), nAGQ = nodes, control = tight)
  fits[[length(fits) + 1]] <- list(link = link, nodes = nodes, beta = unname(fixef(m)),
    se = unname(sqrt(diag(as.matrix(vcov(m))))), sd = unname(attr(VarCorr(m)$therapist, "stddev")),
    exact = exact(m, binomial(link)))
}
write_reference(list(data = d, fits = fits), packages = "lme4")
