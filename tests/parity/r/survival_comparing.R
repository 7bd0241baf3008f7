# Comparing hazard models: likelihood ratio, Wald and score tests of terms (survival, car), AIC and
# BIC; discrete hazards as generalized linear models (stats), competing ones by nnet::multinom.
source("common.R")
suppressPackageStartupMessages({library(survival); library(car); library(nnet)})
tight <- coxph.control(eps = 1e-12, iter.max = 200, toler.chol = 1e-14)

table_of <- function(fit, ...) {
  found <- Anova(fit, ...)
  list(term = rownames(found), statistic = unname(found[, grep("Chisq", colnames(found))[1]]),
       df = unname(found[, "Df"]))
}
of_cox <- function(formula, data) {
  the_data <<- data # where car looks for it
  fit <- do.call(coxph, list(formula, data = quote(the_data), ties = "efron",
                             control = quote(tight)))
  list(lr = table_of(fit, type = 2, test.statistic = "LR"),
       wald = table_of(fit, type = 2, test.statistic = "Wald"),
       aic = AIC(fit), bic = BIC(fit), loglik = fit$loglik)
}
veteran$trt <- factor(veteran$trt)
two <- coxph(Surv(time, status) ~ karno + age, veteran, control = tight)
four <- coxph(Surv(time, status) ~ karno + age + celltype, veteran, control = tight)
ratio <- anova(two, four)
# the score at the restricted maximum: no iteration from there
score_at <- function(drop_formula, full_formula, data, cluster = NULL) {
  small <- coxph(drop_formula, data = data, control = tight)
  full <- coxph(full_formula, data = data, control = tight)
  init <- setNames(rep(0, length(coef(full))), names(coef(full)))
  init[names(coef(small))] <- coef(small)
  coxph(full_formula, data = data, init = init, control = coxph.control(iter.max = 0))$score
}
alone <- coxph(Surv(time, status) ~ celltype, cluster = id, control = tight,
               data = transform(veteran, id = rep(1:46, 3)[1:137]))


set.seed(3)
rows <- do.call(rbind, lapply(1:250, function(i) {
  x <- rnorm(1); g <- sample(c("a", "b", "c"), 1); out <- NULL
  for (t in 1:8) {
    odds <- exp(c(-2.6 + .1 * t + .5 * x + .4 * (g == "b"), -3 + .2 * t - .3 * x))
    k <- sample(0:2, 1, prob = c(1, odds))
    out <- rbind(out, data.frame(id = i, session = t, x = x, g = g, ending = k))
    if (k > 0) break
  }
  out
}))
rows$event <- as.numeric(rows$ending > 0)
glm_of <- function(formula) {
  fit <- do.call(glm, list(formula, family = quote(binomial("cloglog")), data = quote(rows),
                           control = glm.control(epsilon = 1e-12, maxit = 100)))
  list(loglik = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit),
       lr = table_of(fit, type = 2, test.statistic = "LR"))
}
multi <- function(formula) {
  fit <- multinom(formula, data = rows, trace = FALSE, maxit = 2000, reltol = 1e-14)
  list(loglik = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit))
}
write_reference(list(
  veteran = of_cox(Surv(time, status) ~ karno + age + celltype, veteran),
  interaction = of_cox(Surv(time, status) ~ trt * karno + age, veteran),
  ratio = list(statistic = ratio[2, "Chisq"], df = ratio[2, "Df"], p = ratio[2, 4]),
  score = list(celltype = score_at(Surv(time, status) ~ karno + age,
                                   Surv(time, status) ~ karno + age + celltype, veteran),
               karno = score_at(Surv(time, status) ~ age + celltype,
                                Surv(time, status) ~ karno + age + celltype, veteran)),
  robust = list(score = unname(summary(alone)$robscore["test"])),
  rows = rows,
  discrete = list(dummies = glm_of(event ~ factor(session) + x + g),
                  linear = glm_of(event ~ session + x + g)),
  competing = list(small = multi(ending ~ factor(session) + x),
                   large = multi(ending ~ factor(session) + x + g))
), c("survival", "car", "nnet"))
