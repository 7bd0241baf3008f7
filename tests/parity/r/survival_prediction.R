# Predicted chances: riskRegression's Score with ties, censoring and competing endings; mets'
# logitIPCW for one landmark. Censored times stand a little after the events of the same time.
source("common.R")
suppressPackageStartupMessages({library(riskRegression); library(survival); library(prodlim); library(mets)})
drawn <- function(seed, n) {
  set.seed(seed)
  d <- data.frame(unit = paste("F", seq_len(n)), x = rnorm(n))
  one <- rexp(n, exp(.6 * d$x)); two <- rexp(n, .6); end <- rexp(n, .5)
  d$time <- ceiling(8 * pmin(one, two, end))
  d$state <- ifelse(one <= pmin(two, end), 1, ifelse(two <= end, 2, 0))
  d$risk <- plogis(-.5 + .8 * d$x + rnorm(n, 0, .5))
  d$coarse <- round(d$risk, 1)
  d
}
scored <- function(d, risk, endings) {
  if (!endings) d$state <- as.numeric(d$state == 1)
  s <- Score(list(m = as.matrix(d[[risk]])), formula = if (endings) Hist(time, state) ~ 1 else Surv(time, state) ~ 1,
             data = d, times = 4, cause = 1, metrics = c("auc", "brier"), se.fit = TRUE, null.model = TRUE)
  list(auc = s$AUC$score$AUC, auc_se = s$AUC$score$se,
       brier = s$Brier$score[model == "m"]$Brier, brier_se = s$Brier$score[model == "m"]$se,
       null = s$Brier$score[model == "Null model"]$Brier)
}
landmark <- function(d, within) {
  d$later <- d$time + ifelse(d$state == 0, .5, 0)
  b <- logitIPCW(Event(later, state) ~ x, d, time = within + .25, cause = 1)
  list(coef = unname(coef(b)), se = unname(sqrt(diag(b$naive.var))))
}
samples <- list(one = drawn(1, 180), two = drawn(2, 60))
write_reference(list(
  samples = samples,
  endings = lapply(samples, scored, "risk", TRUE), alone = lapply(samples, scored, "risk", FALSE),
  coarse = lapply(samples, scored, "coarse", TRUE),
  landmark = lapply(samples, landmark, 4)
), c("riskRegression", "mets", "survival"))
