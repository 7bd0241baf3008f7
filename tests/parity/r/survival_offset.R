# Hazards with an offset (survival, finegray) and by session with weights (survey's svyglm).
source("common.R")
suppressPackageStartupMessages({ library(survival); library(survey) })
set.seed(41)
n <- 130
d <- data.frame(x = rnorm(n), trained = rbinom(n, 1, .4), clinic = rep(1:3, length.out = n),
                therapist = paste("T", sample(1:11, n, TRUE)), days = sample(3:20, n, TRUE))
leaves <- rexp(n, .03 * d$days * exp(.4 * d$x) / 3)
d$time <- round(pmin(leaves, runif(n, 2, 12)), 3)
d$event <- as.numeric(leaves <= d$time + 5e-4)
d$state <- d$event * (1 + (runif(n) < .4))
tied <- transform(d, time = ceiling(time))
tight <- coxph.control(eps = 1e-12, iter.max = 100, toler.chol = 1e-14)
new <- data.frame(x = c(.3, -1), trained = c(1, 0), days = c(9, 4))
of <- function(formula, data, ...) {
  fit <- do.call(coxph, list(formula, data = data, control = tight, ...))
  list(coef = unname(coef(fit)), se = unname(sqrt(diag(fit$var))), loglik = fit$loglik,
       martingale = unname(residuals(fit, "martingale")))
}
whole <- coxph(Surv(time, event) ~ x + trained + offset(log(days)), tied, control = tight)
less <- coxph(Surv(time, event) ~ x + offset(log(days)), tied, control = tight)
curve <- summary(survfit(whole, new, conf.type = "log-log"), times = c(2, 5))
strata <- coxph(Surv(time, event) ~ x + trained + offset(log(days)) + strata(clinic), tied,
                control = tight)
change <- coxph(Surv(time, event) ~ x + trained + tt(x) + offset(log(days)), tied, control = tight,
                tt = function(x, t, ...) x * log(t))
weighted <- finegray(Surv(time, factor(state, 0:2)) ~ ., d, etype = 1)
fine <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x + trained + offset(log(days)), weighted,
              weights = fgwt, ties = "breslow", control = tight)
predicted <- summary(survfit(fine, new), times = c(2, 5))$surv

rows <- do.call(rbind, lapply(1:90, function(u) {
  x <- rnorm(1); w <- runif(1, .3, 4); out <- NULL
  for (s in 1:8) {
    left <- rbinom(1, 1, 1 - exp(-exp(-2.2 + .5 * x + .1 * s)))
    out <- rbind(out, data.frame(unit = paste("F", u), therapist = u %% 11, session = s, x = x,
                                 w = round(w * runif(1, .8, 1.3), 3), days = sample(2:9, 1), left))
    if (left == 1) break
  }
  out
}))
by_session <- function(link, ids, offset) {
  design <- svydesign(ids = as.formula(paste0("~", ids)), weights = ~w, data = rows)
  right <- paste("log(session) + x", if (offset) "+ offset(log(days))")
  fit <- svyglm(as.formula(paste("left ~", right)), design, family = quasibinomial(link),
                control = glm.control(epsilon = 1e-14, maxit = 100))
  list(link = link, ids = ids, offset = offset, coef = unname(coef(fit)),
       se = unname(sqrt(diag(vcov(fit)))))
}
cases <- expand.grid(link = c("cloglog", "logit"), ids = c("unit", "therapist"),
                     offset = c(FALSE, TRUE), stringsAsFactors = FALSE)
write_reference(list(
  data = d, rows = rows,
  cox = list(
    efron = of(Surv(time, event) ~ x + trained + offset(log(days)), tied),
    breslow = of(Surv(time, event) ~ x + trained + offset(log(days)), tied, ties = "breslow"),
    clustered = of(Surv(time, event) ~ x + trained + offset(log(days)), tied,
                   cluster = quote(therapist)),
    strata = of(Surv(time, event) ~ x + trained + offset(log(days)) + strata(clinic), tied)
  ),
  ratio = anova(less, whole)$Chisq[2],
  survival = list(estimate = as.vector(curve$surv), std_error = as.vector(curve$std.err),
                  conf_low = as.vector(curve$lower), conf_high = as.vector(curve$upper)),
  zph = unname(cox.zph(strata, "identity")$table[, "chisq"]),
  concordance = c(concordance(strata)$concordance, sqrt(concordance(strata)$var)),
  change = list(coef = unname(coef(change)), se = unname(sqrt(diag(change$var)))),
  fine_gray = list(coef = unname(coef(fine)), loglik = fine$loglik,
                   incidence = as.vector(1 - predicted)),
  by_session = lapply(seq_len(nrow(cases)), function(i) {
    do.call(by_session, as.list(cases[i, ]))
  })
), c("survival", "survey"))
