# Families with a dispersion parameter, and zero-truncated counts, by glmmTMB: unbalanced nested data,
# slopes, crossed terms, offsets, a formula of the dispersion.
# nlminb stops early now and then; BFGS goes on from there (see glmm_glmmtmb.R).
source("common.R")
suppressPackageStartupMessages({library(glmmTMB); library(lme4)})
tight <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14))
onwards <- glmmTMBControl(optimizer = optim, optArgs = list(method = "BFGS"),
                         optCtrl = list(reltol = 1e-18, maxit = 500))

families <- function(seed) {
  set.seed(seed)
  per_therapist <- c(2, 3, 3, 4, 5, 5, 6, 8, 9, 12, 14)
  therapist <- rep(seq_along(per_therapist), per_therapist)
  n_rows <- sample(2:9, length(therapist), replace = TRUE)
  family <- rep(seq_along(therapist), n_rows)
  d <- data.frame(therapist = paste("T", therapist[family]), family = paste0("f", family),
                  session = unlist(lapply(n_rows, seq_len)))
  d$role <- c("child", "father", "mother")[1 + (seq_len(nrow(d)) %% 3)]
  d$x <- round(rnorm(nrow(d)), 3)
  u <- rnorm(length(per_therapist), 0, 0.4)[therapist[family]] + rnorm(length(therapist), 0, 0.5)[family]
  eta <- 0.6 + 0.3 * d$x - 0.05 * d$session + 0.2 * (d$role == "child") + u
  n <- nrow(d)
  d$log_exposure <- round(log(runif(n, 0.5, 3)), 4)
  d$missed <- rnbinom(n, size = 1.4, mu = exp(eta + d$log_exposure))
  d$calls <- rnbinom(n, size = exp(eta) / 0.8, mu = exp(eta))
  d$trials <- sample(1:12, n, replace = TRUE)
  p <- plogis(eta - 1)
  d$hits <- rbinom(n, d$trials, rbeta(n, 4 * p, 4 * (1 - p)))
  d$wait <- round(rgamma(n, shape = 2.5, rate = 2.5 / exp(eta + 2)), 4)
  phi <- ifelse(d$role == "child", 4, 15)
  d$share <- pmin(pmax(round(rbeta(n, phi * p, phi * (1 - p)), 4), 0.0005), 0.9995)
  d$named <- qpois(runif(n, dpois(0, exp(eta)), 1), exp(eta))
  d$calm <- rpois(n, exp(eta))
  d$heard <- qnbinom(runif(n, dnbinom(0, 1.4, mu = exp(eta)), 1), 1.4, mu = exp(eta))
  size <- exp(eta) / 0.8
  d$told <- qnbinom(runif(n, dnbinom(0, size, mu = exp(eta)), 1), size, mu = exp(eta))
  d
}
d <- families(5)

ratings <- function(seed) {
  set.seed(seed)
  e <- expand.grid(person = sprintf("p%02d", 1:24), item = letters[1:7])
  e <- e[runif(nrow(e)) < 0.85, ]
  e$age <- round(rnorm(24, 40, 9))[as.integer(e$person)]
  eta <- -0.5 + 0.03 * (e$age - 40) + rnorm(24, 0, 0.7)[as.integer(e$person)] +
    rnorm(7, 0, 0.4)[as.integer(e$item)]
  e$share <- pmin(pmax(round(rbeta(nrow(e), 9 * plogis(eta), 9 * (1 - plogis(eta))), 4), 5e-4), 1 - 5e-4)
  e$seconds <- round(rgamma(nrow(e), shape = 4, rate = 4 / exp(eta + 3)), 3)
  e
}
crossed <- ratings(9)

data(Owls, package = "glmmTMB"); data(cbpp, sleepstudy, package = "lme4")
owls <- data.frame(nest = as.character(Owls$Nest), food = as.character(Owls$FoodTreatment),
                   sex = as.character(Owls$SexParent), arrival = Owls$ArrivalTime,
                   calls = Owls$SiblingNegotiation, log_brood = log(Owls$BroodSize))

describe <- function(formula, data, family, dispformula = ~1) {
  fit <- function(start, control) suppressWarnings(glmmTMB(
    formula, data = data, family = family, dispformula = dispformula, control = control, start = start))
  m <- fit(NULL, tight)
  start <- list(beta = fixef(m)$cond, theta = getME(m, "theta"))
  has <- length(fixef(m)$disp) > 0
  if (has) start$betad <- fixef(m)$disp
  m <- fit(start, onwards)
  cf <- summary(m)$coefficients$cond
  vc <- VarCorr(m)$cond
  pars <- do.call(rbind, lapply(names(vc), function(g) {
    sds <- attr(vc[[g]], "stddev"); r <- attr(vc[[g]], "correlation")
    out <- data.frame(group = g, term = paste0("sd__", names(sds)), estimate = unname(sds))
    if (length(sds) == 2) out <- rbind(out, data.frame(
      group = g, term = paste0("cor__", names(sds)[1], ".", names(sds)[2]), estimate = r[1, 2]))
    out
  }))
  V <- vcov(m, full = TRUE)
  d_names <- grep("^d~", rownames(V))
  list(log_lik = as.numeric(logLik(m)), aic = AIC(m), df = attr(logLik(m), "df"),
       term = rownames(cf), estimate = unname(cf[, 1]), std_error = unname(cf[, 2]),
       ran_pars = pars,
       dispersion = if (has) as.list(unname(fixef(m)$disp)) else list(),
       dispersion_term = as.list(names(fixef(m)$disp)),
       dispersion_se = as.list(unname(sqrt(diag(V))[d_names])),
       fitted = unname(head(fitted(m), 20)))
}

nested <- ~ x + session + role + (1 | therapist/family)
out <- list(
  families = d, crossed = crossed, owls = owls,
  nb2_nested = describe(missed ~ x + session + role + offset(log_exposure) + (1 | therapist/family), d, nbinom2()),
  nb2_owls = describe(calls ~ food * sex + offset(log_brood) + (1 | nest), owls, nbinom2()),
  nb2_slope = describe(calls ~ arrival + (1 + arrival | nest), transform(owls, arrival = arrival - 25), nbinom2()),
  nb2_dispersion = describe(calls ~ food + offset(log_brood) + (1 | nest), owls, nbinom2(), ~ food),
  nb1_nested = describe(calls ~ x + session + role + (1 | therapist/family), d, nbinom1()),
  nb1_owls = describe(calls ~ food * sex + offset(log_brood) + (1 | nest), owls, nbinom1()),
  nb1_dispersion = describe(calls ~ food + offset(log_brood) + (1 | nest), owls, nbinom1(), ~ food),
  bb_nested = describe(cbind(hits, trials - hits) ~ x + session + role + (1 | therapist/family), d, betabinomial()),
  bb_cbpp = describe(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, betabinomial()),
  gamma_nested = describe(wait ~ x + session + role + (1 | therapist/family), d, Gamma("log")),
  gamma_slope = describe(Reaction ~ Days + (1 + Days | Subject), sleepstudy, Gamma("log")),
  gamma_crossed = describe(seconds ~ age + (1 | person) + (1 | item), crossed, Gamma("log")),
  beta_nested = describe(share ~ x + session + role + (1 | therapist/family), d, beta_family()),
  beta_crossed = describe(share ~ age + (1 | person) + (1 | item), crossed, beta_family()),
  beta_dispersion = describe(share ~ x + session + role + (1 | therapist/family), d, beta_family(), ~ role),
  trunc_nested = describe(named ~ x + session + role + (1 | therapist/family), d, truncated_poisson()),
  trunc_owls = describe(calls ~ food * sex + offset(log_brood) + (1 | nest), subset(owls, calls > 0), truncated_poisson()),
  tnb2_nested = describe(heard ~ x + session + role + (1 | therapist/family), d, truncated_nbinom2()),
  tnb1_nested = describe(told ~ x + session + role + (1 | therapist/family), d, truncated_nbinom1()),
  tnb2_owls = describe(calls ~ food * sex + offset(log_brood) + (1 | nest), subset(owls, calls > 0), truncated_nbinom2()),
  tnb1_owls = describe(calls ~ food * sex + offset(log_brood) + (1 | nest), subset(owls, calls > 0), truncated_nbinom1()),
  poisson_calm = describe(calm ~ x + (1 | therapist/family), d, poisson())
)
write_reference(out, packages = c("glmmTMB", "lme4"))
