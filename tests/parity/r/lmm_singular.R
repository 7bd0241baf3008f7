# Kenward-Roger inference on boundary (singular) fits: pbkrtest keeps every variance of the model
# among the estimated ones. Satterthwaite's df are not taken from here: lmerTest differentiates the
# deviance across the boundary there.
source("common.R")
suppressPackageStartupMessages({library(lmerTest); library(pbkrtest)})
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
                     check.conv.grad = .makeCC("ignore", tol = 1, relTol = NULL),
                     check.conv.singular = .makeCC("ignore", tol = 1e-4),
                     check.conv.hess = .makeCC("ignore", tol = 1e-6))

study <- function(seed, therapists = 8, per_family = 4) {
  set.seed(seed)
  families <- sample(3:6, therapists, TRUE)
  home <- rep(seq_len(therapists), families)
  family <- rep(seq_along(home), each = per_family)
  d <- data.frame(therapist = home[family], family = family, time = rep(seq_len(per_family) - 1, length(home)),
                  x = rnorm(therapists)[home[family]], arm = c("a", "b", "c")[1 + home[family] %% 3])
  d$item <- d$time
  d$y <- 0.3 * d$time + 0.7 * rnorm(length(home))[family] + rnorm(nrow(d))
  d
}

# Each data set is the first of 400 seeds whose fit ends on the boundary in the way that is asked for.
cases <- list(
  list(name = "no therapist variance", f = y ~ x + arm + time + (1 | therapist) + (1 | family),
       at = function(v) v$therapist[1, 1] < 1e-10),
  list(name = "correlation at one", f = y ~ x * time + (1 + time | therapist) + (1 | family),
       at = function(v) min(diag(v$therapist)) > 1e-3 && abs(cov2cor(v$therapist)[1, 2]) > 1 - 1e-6),
  list(name = "no slope variance", f = y ~ x + time + (1 | therapist) + (1 + time | family),
       at = function(v) min(eigen(v$family)$values) < 1e-8 && v$therapist[1, 1] > 1e-3),
  list(name = "crossed", f = y ~ x + time + (1 | therapist) + (1 | item),
       at = function(v) v$item[1, 1] < 1e-10 && v$therapist[1, 1] > 1e-3),
  list(name = "no variance at all", f = y ~ x + time + (1 | therapist),
       at = function(v) v$therapist[1, 1] < 1e-10, flat = TRUE))

run <- function(case) {
  for (seed in 1:400) {
    d <- study(seed)
    if (isTRUE(case$flat)) d$y <- d$y - ave(d$y, d$family) + 0.5 * rnorm(nrow(d)) + 0.3 * d$time
    m <- suppressMessages(lmer(case$f, d, control = tight))
    v <- lapply(VarCorr(m), function(x) matrix(as.numeric(x), nrow(x)))
    if (case$at(v)) break
  }
  stopifnot(case$at(v))
  table <- as.data.frame(summary(m, ddf = "Kenward-Roger")$coefficients)
  F <- as.data.frame(anova(m, ddf = "Kenward-Roger", type = 3))
  list(name = case$name, formula = paste(deparse(case$f), collapse = " "), data = as.list(d), deviance = REMLcrit(m),
       terms = rownames(table), estimate = table[["Estimate"]], std_error = table[["Std. Error"]], df = table[["df"]],
       f_terms = rownames(F), f = F[["F value"]], f_df = F[["DenDF"]])
}
write_reference(list(cases = lapply(cases, run)), packages = c("lme4", "lmerTest", "pbkrtest"))
