# Discrete-time hazards: glmmTMB (Laplace, observed information), glm, nnet::multinom, splines::ns.
source("common.R")
suppressPackageStartupMessages({library(glmmTMB); library(nnet); library(splines)})
set.seed(11)
n_therapists <- 60; n_families <- 480; last <- 10
family <- sprintf("F%03d", 1:n_families)
therapist <- sprintf("T%02d", rep(1:n_therapists, length.out = n_families))
u <- rnorm(n_therapists, 0, .6)[rep(1:n_therapists, length.out = n_families)]
barrier <- rbinom(n_families, 1, .4)
rows <- list()
for (i in seq_len(n_families)) for (t in 1:last) {
  alliance <- round(4.5 + .5 * rnorm(1), 2)
  drop <- 1 - exp(-exp(-2.6 + .5 * barrier[i] - .5 * (alliance - 4.5) + u[i] - .05 * t))
  if (t == 7) drop <- 0
  planned <- if (t < 3) 0 else .08
  code <- sample(0:2, 1, prob = c((1 - drop) * (1 - planned), drop, (1 - drop) * planned))
  rows[[length(rows) + 1]] <- data.frame(family = family[i], therapist = therapist[i], session = t,
    alliance = alliance, barrier = barrier[i], ending = code, event = as.numeric(code == 1))
  if (code > 0) break
}
d <- do.call(rbind, rows)
d$family <- as.character(d$family)

tight <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14))
onwards <- glmmTMBControl(optimizer = optim, optArgs = list(method = "BFGS"),
                         optCtrl = list(reltol = 1e-18, maxit = 500))
at_risk <- d[d$session != 7, ]
mixed <- list(); plain <- list()
for (link in c("cloglog", "logit")) {
  mixed_fit <- function(start, control) suppressWarnings(glmmTMB(
    event ~ 0 + factor(session) + alliance + barrier + (1 | therapist), at_risk,
    family = binomial(link), control = control, start = start))
  fit <- mixed_fit(NULL, tight)
  fit <- mixed_fit(list(beta = fixef(fit)$cond, theta = getME(fit, "theta")), onwards)
  V <- vcov(fit, full = TRUE)
  p <- length(fixef(fit)$cond)
  mixed[[link]] <- list(beta = unname(fixef(fit)$cond), se = unname(sqrt(diag(vcov(fit)$cond))),
    sd = exp(unname(fit$fit$par[p + 1])), log_sd_se = unname(sqrt(diag(V))[p + 1]),
    log_lik = as.numeric(logLik(fit)))
  fit <- suppressWarnings(glmmTMB(event ~ 0 + factor(session) + alliance + barrier, at_risk,
                                  family = binomial(link), control = tight))
  same <- glm(event ~ 0 + factor(session) + alliance + barrier, family = binomial(link), at_risk,
              epsilon = 1e-14, maxit = 100)
  plain[[link]] <- list(beta = unname(coef(same)), se = unname(sqrt(diag(vcov(fit)$cond))),
                        log_lik = as.numeric(logLik(same)))
}
knots <- unname(quantile(unique(d$session), c(1/3, 2/3)))
spline <- glm(event ~ 0 + ns(session, knots = knots, Boundary.knots = range(d$session), intercept = TRUE) +
              alliance + barrier, family = binomial("cloglog"), d, epsilon = 1e-14, maxit = 100)
polynomial <- glm(event ~ poly(session, 2) + alliance + barrier, family = binomial("cloglog"), d,
                  epsilon = 1e-14, maxit = 100)

# one likelihood; polynomial baseline, so that every ending can come at every session
fit <- multinom(ending ~ poly(session, 2) + alliance + barrier, d, reltol = 1e-16, abstol = 1e-16,
                maxit = 5000, trace = FALSE, Hess = TRUE)
competing <- list(beta = unname(coef(fit)), se = unname(summary(fit)$standard.errors),
                  log_lik = as.numeric(logLik(fit)))
write_reference(list(data = d, mixed = mixed, plain = plain,
  spline = list(log_lik = as.numeric(logLik(spline)), beta = unname(tail(coef(spline), 2))),
  polynomial = list(log_lik = as.numeric(logLik(polynomial)), beta = unname(coef(polynomial))),
  competing = competing), packages = c("glmmTMB", "nnet", "splines"))
