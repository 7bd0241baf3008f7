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
rao_of <- function(link, small, large) {
  fit <- function(f) do.call(glm, list(f, family = binomial(link), data = quote(rows),
                                       control = glm.control(epsilon = 1e-14, maxit = 100)))
  anova(fit(small), fit(large), test = "Rao")[2, "Rao"]
}
by_link <- function(link) {
  list(x = rao_of(link, event ~ factor(session) + g, event ~ factor(session) + x + g),
       g = rao_of(link, event ~ factor(session) + x, event ~ factor(session) + x + g),
       both = rao_of(link, event ~ factor(session) + x + g, event ~ factor(session) + x * g))
}
# nobody was censored: all weights of Fine and Gray's are 1
ended <- do.call(rbind, lapply(split(rows, rows$id), function(d) d[nrow(d), ]))
ended <- ended[ended$ending > 0, ]
ended$site <- ended$id %% 19
fine <- finegray(Surv(session, factor(ending, 0:2)) ~ ., ended, etype = 1)
fine_score <- function(formula, cluster) {
  fit <- do.call(coxph, list(formula, data = quote(fine), weights = quote(fgwt), ties = "breslow",
                             cluster = cluster, control = quote(tight)))
  unname(summary(fit)$robscore["test"])
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
  rao = list(cloglog = by_link("cloglog"), logit = by_link("logit")),
  ended = ended[, c("id", "session", "x", "g", "ending", "site")],
  fine_score = list(
    x = fine_score(Surv(fgstart, fgstop, fgstatus) ~ x, quote(id)),
    g = fine_score(Surv(fgstart, fgstop, fgstatus) ~ g, quote(id)),
    clustered = fine_score(Surv(fgstart, fgstop, fgstatus) ~ g, quote(site))),
  competing = list(small = multi(ending ~ factor(session) + x),
                   large = multi(ending ~ factor(session) + x + g)),
  without_x = multi(ending ~ factor(session) + g)
), c("survival", "car", "nnet"))
