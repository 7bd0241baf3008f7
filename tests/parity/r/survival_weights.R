# Cox models with case weights and robust standard errors (survival).
source("common.R")
suppressPackageStartupMessages(library(survival))
tight <- coxph.control(eps = 1e-12, iter.max = 200, toler.chol = 1e-14)
set.seed(6)
lung <- transform(lung[!is.na(lung$inst) & !is.na(lung$ph.ecog), ], left = status - 1)
lung$time <- ceiling(lung$time / 30) # heavy ties
lung$w <- round(runif(nrow(lung), .3, 3), 2)
of <- function(formula, ...) {
  fit <- do.call(coxph, list(formula, data = quote(lung), weights = quote(w), control = tight, ...))
  list(coef = unname(coef(fit)), se = unname(sqrt(diag(fit$var))), loglik = fit$loglik,
       martingale = unname(residuals(fit, "martingale")))
}
write_reference(list(
  lung = lung[, c("time", "left", "age", "sex", "ph.ecog", "inst", "w")],
  efron = of(Surv(time, left) ~ age + sex + ph.ecog, robust = TRUE, ties = "efron"),
  breslow = of(Surv(time, left) ~ age + sex + ph.ecog, robust = TRUE, ties = "breslow"),
  clustered = of(Surv(time, left) ~ age + sex + ph.ecog, cluster = quote(inst), ties = "efron"),
  strata = of(Surv(time, left) ~ age + ph.ecog + strata(sex), cluster = quote(inst), ties = "efron")
), "survival")
