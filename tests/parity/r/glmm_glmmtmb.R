# Laplace fits by glmmTMB: every link, nested and crossed factors, slopes, trials, offsets.
# nlminb at rel.tol = 1e-14 stops with "singular convergence" where it can get no further, up to 4e-4
# standard errors from the optimum; BFGS goes on from there.
source("common.R")
suppressPackageStartupMessages({library(glmmTMB); library(lme4)})
tight <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14))
onwards <- glmmTMBControl(optimizer = optim, optArgs = list(method = "BFGS"),
                         optCtrl = list(reltol = 1e-18, maxit = 500))
data(cbpp, VerbAgg, grouseticks, package = "lme4")

hazards <- function(seed, n_families = 260, n_therapists = 16, sessions = 10) {
  set.seed(seed)
  therapist <- rep(seq_len(n_therapists), length.out = n_families)
  experience <- round(rnorm(n_therapists), 3)
  u <- rnorm(n_therapists, 0, 0.6)[therapist] + rnorm(n_families, 0, 0.8)
  rows <- list()
  alive <- seq_len(n_families)
  for (s in seq_len(sessions)) {
    alliance <- round(rnorm(length(alive)), 3)
    eta <- -2.2 - 0.05 * s - 0.5 * alliance - 0.3 * experience[therapist[alive]] + u[alive]
    event <- as.integer(runif(length(alive)) < 1 - exp(-exp(eta)))
    rows[[s]] <- data.frame(therapist = therapist[alive], family = alive, session = s,
                            alliance = alliance, experience = experience[therapist[alive]],
                            event = event)
    alive <- alive[event == 0 & runif(length(alive)) > 0.05]
  }
  do.call(rbind, rows)
}
hazard_data <- hazards(42)

describe <- function(formula, data, family, ...) {
  fit <- function(start, control) suppressWarnings(
    glmmTMB(formula, data = data, family = family, control = control, start = start, ...))
  m <- fit(NULL, tight)
  m <- fit(list(beta = fixef(m)$cond, theta = getME(m, "theta")), onwards)
  cf <- summary(m)$coefficients$cond
  vc <- VarCorr(m)$cond
  pars <- do.call(rbind, lapply(names(vc), function(g) {
    sds <- attr(vc[[g]], "stddev"); r <- attr(vc[[g]], "correlation")
    out <- data.frame(group = g, term = paste0("sd__", names(sds)), estimate = unname(sds))
    if (length(sds) == 2) out <- rbind(out, data.frame(
      group = g, term = paste0("cor__", names(sds)[1], ".", names(sds)[2]), estimate = r[1, 2]))
    out
  }))
  limits <- as.data.frame(confint(m, parm = "theta_", method = "wald", estimate = TRUE))
  re <- as.data.frame(ranef(m))
  first <- re[re$grpvar == re$grpvar[1] & re$term == re$term[1], ]
  first <- first[order(as.character(first$grp), method = "radix"), ]
  list(log_lik = as.numeric(logLik(m)), aic = AIC(m), bic = BIC(m),
       term = rownames(cf), estimate = unname(cf[, 1]), std_error = unname(cf[, 2]),
       vcov = unname(as.matrix(vcov(m)$cond)),
       ran_pars = pars, sd_limits = list(low = limits[[1]], high = limits[[2]]),
       fitted = unname(head(fitted(m), 20)),
       population_eta = unname(head(predict(m, re.form = NA, type = "link"), 20)),
       first_group = as.character(first$grpvar[1]), first_level = as.character(first$grp),
       mode = first$condval)
}

grouseticks$cHEIGHT <- grouseticks$HEIGHT - mean(grouseticks$HEIGHT)
VerbAgg$yes <- as.integer(VerbAgg$r2 == "Y")
set.seed(7)
visits <- data.frame(person = rep(1:60, each = 6), time = rep(0:5, 60))
visits$exposure <- round(runif(nrow(visits), 0.5, 2), 2)
visits$log_exposure <- log(visits$exposure)
u0 <- rnorm(60, 0, 0.5); u1 <- rnorm(60, 0, 0.15)
visits$events <- rpois(nrow(visits), visits$exposure * exp(
  0.4 + 0.1 * visits$time + u0[visits$person] + u1[visits$person] * visits$time))

write_reference(list(
  hazard_data = hazard_data,
  visits = visits,
  cbpp_logit = describe(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial()),
  cbpp_probit = describe(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
                         binomial("probit")),
  cbpp_cloglog = describe(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp,
                          binomial("cloglog")),
  grouseticks = describe(TICKS ~ YEAR + cHEIGHT + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION),
                         grouseticks, poisson()),
  verbagg = describe(yes ~ Anger + Gender + btype + situ + (1 | id) + (1 | item), VerbAgg,
                     binomial()),
  verbagg_person = describe(yes ~ Anger + Gender + btype + (1 | id), VerbAgg, binomial()),
  hazard_cloglog = describe(event ~ session + alliance + experience + (1 | therapist) +
                              (1 | therapist:family), hazard_data, binomial("cloglog")),
  hazard_logit = describe(event ~ session + alliance + experience + (1 | therapist) +
                            (1 | therapist:family), hazard_data, binomial("logit")),
  hazard_slope = describe(event ~ session + alliance + (1 + alliance | therapist), hazard_data,
                          binomial("cloglog")),
  visits_slope = describe(events ~ time + offset(log_exposure) + (1 + time | person), visits,
                          poisson())
), packages = c("glmmTMB", "TMB", "lme4"))
