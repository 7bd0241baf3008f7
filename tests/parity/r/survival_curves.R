# Kaplan-Meier curves, medians, restricted means and log-rank tests of the survival package.
source("common.R")
library(survival)

curve <- function(fit) {
  s <- summary(fit, censored = TRUE)
  list(strata = as.character(s$strata), time = s$time, n_risk = s$n.risk, n_event = s$n.event,
       n_censor = s$n.censor, surv = s$surv, std_err = s$std.err, lower = s$lower, upper = s$upper)
}
types <- c("log-log", "log", "plain")
curves <- function(formula, data, ...) {
  sapply(types, function(type) curve(do.call(survfit, list(formula, data = data, conf.type = type, ...))),
         simplify = FALSE)
}
medians <- function(formula, data) {
  sapply(types, function(type) {
    table <- summary(survfit(formula, data = data, conf.type = type))$table
    table <- matrix(table, ncol = 9)
    list(median = table[, 7], lower = table[, 8], upper = table[, 9])
  }, simplify = FALSE)
}
tested <- function(...) {
  fit <- survdiff(...)
  exp_total <- if (is.matrix(fit$exp)) rowSums(fit$exp) else fit$exp
  obs_total <- if (is.matrix(fit$obs)) rowSums(fit$obs) else fit$obs
  list(chisq = fit$chisq, exp = exp_total, obs = obs_total, n = as.vector(fit$n), p = fit$pvalue)
}

lung <- survival::lung
lung$left <- lung$status - 1
lung$inst[is.na(lung$inst)] <- 99
lung <- lung[, c("inst", "time", "left", "age", "sex", "ph.ecog")]

# Session data with heavy ties, delayed entry and clusters.
set.seed(20)
n <- 240
sessions <- data.frame(therapist = rep(1:24, each = 10), framework = rep(0:1, each = 120))
sessions$entry <- sample(0:4, n, replace = TRUE, prob = c(6, 1, 1, 1, 1))
sessions$time <- sessions$entry + pmin(rgeom(n, .09 + .05 * sessions$framework) + 1, 15)
sessions$event <- rbinom(n, 1, .7)

flat <- data.frame(time = c(1, 2, 3, 4), event = c(1, 1, 0, 1))
even <- data.frame(time = c(1, 2, 5, 6), event = c(1, 1, 1, 0))

brute_log_rank <- function(data, rho = 0, gamma = 0) {
  times <- sort(unique(data$time[data$event == 1]))
  U <- V <- 0; S <- 1
  for (t in times) {
    risk <- data$entry < t & data$time >= t
    dead <- risk & data$time == t & data$event == 1
    n <- sum(risk); d <- sum(dead); n1 <- sum(risk & data$framework == 1)
    w <- S^rho * (1 - S)^gamma
    U <- U + w * (sum(dead & data$framework == 1) - d * n1 / n)
    if (n > 1) V <- V + w^2 * d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1)
    S <- S * (1 - d / n)
  }
  U^2 / V
}
no_entry <- transform(sessions, entry = 0)

write_reference(list(
  lung = lung, sessions = sessions, flat = flat, even = even,
  lung_by_sex = curves(Surv(time, left) ~ sex, lung),
  lung_cluster = curves(Surv(time, left) ~ sex, lung, cluster = lung$inst),
  lung_all = curves(Surv(time, left) ~ 1, lung),
  entry = curves(Surv(entry, time, event) ~ framework, sessions),
  entry_cluster = curves(Surv(entry, time, event) ~ framework, sessions, cluster = sessions$therapist),
  medians_lung = medians(Surv(time, left) ~ sex, lung),
  medians_entry = medians(Surv(entry, time, event) ~ framework, sessions),
  medians_flat = medians(Surv(time, event) ~ 1, flat),
  medians_even = medians(Surv(time, event) ~ 1, even),
  risk_table = summary(survfit(Surv(time, left) ~ sex, lung), times = c(0, 100, 310, 500))$n.risk,
  log_rank = tested(Surv(time, left) ~ sex, lung),
  log_rank_ecog = tested(Surv(time, left) ~ ph.ecog, lung),
  log_rank_strata = tested(Surv(time, left) ~ sex + strata(ph.ecog), lung),
  peto = tested(Surv(time, left) ~ ph.ecog, lung, rho = 1),
  log_rank_entry = list(plain = brute_log_rank(sessions), fh = brute_log_rank(sessions, 0.5, 1),
                        late = brute_log_rank(no_entry, 0, 1),
                        early = survdiff(Surv(time, event) ~ framework, no_entry, rho = 1)$chisq)
), packages = "survival")
