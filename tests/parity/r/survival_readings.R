# What a clinic reads: curves at chosen times, weighted and pairwise log-rank tests, ratios of
# restricted means, predicted survival averaged over covariates (survival).
source("common.R")
suppressPackageStartupMessages(library(survival))
at_times <- function(fit, times) {
  s <- summary(fit, times = times)
  list(strata = as.character(s$strata), time = s$time, n_risk = s$n.risk, n_event = s$n.event,
       surv = s$surv, se = s$std.err, lower = s$lower, upper = s$upper)
}
lung <- transform(lung[!is.na(lung$inst), ], left = status - 1)
times <- c(0, 100, 250, 500, 800)
plain <- survfit(Surv(time, left) ~ sex, lung, conf.type = "log-log")
robust <- survfit(Surv(time, left) ~ sex, lung, cluster = inst, conf.type = "log-log")
heart_fit <- survfit(Surv(start, stop, event) ~ surgery, heart, conf.type = "log-log")
mgus2$etime <- with(mgus2, ifelse(pstat == 0, futime, ptime))
mgus2$state <- factor(with(mgus2, ifelse(pstat == 0, 2 * death, 1)), 0:2, c("censor", "pcm", "death"))
states <- summary(survfit(Surv(etime, state) ~ sex, mgus2), times = c(60, 120, 240))

pairs_of <- function(data, group) {
  levels <- sort(unique(data[[group]]))
  out <- NULL
  for (i in seq_along(levels)) for (j in seq_along(levels)) if (i < j) {
    own <- data[data[[group]] %in% levels[c(i, j)], ]
    test <- survdiff(as.formula(paste("Surv(time, status) ~", group)), own)
    out <- rbind(out, data.frame(a = levels[i], b = levels[j], chisq = test$chisq))
  }
  out$p <- pchisq(out$chisq, 1, lower.tail = FALSE)
  out$holm <- p.adjust(out$p, "holm"); out$bonferroni <- p.adjust(out$p, "bonferroni")
  out
}
veteran$celltype <- as.character(veteran$celltype)

fit <- coxph(Surv(time, left) ~ age + factor(sex) + ph.karno, lung, ties = "efron",
             control = coxph.control(eps = 1e-12))
used <- lung[complete.cases(lung[, c("age", "sex", "ph.karno")]), ]
adjusted <- lapply(1:2, function(s) {
  curves <- summary(survfit(fit, newdata = transform(used, sex = s)), times = c(100, 250, 500))$surv
  rowMeans(curves)
})
write_reference(list(
  lung = lung[, c("time", "left", "sex", "inst", "age", "ph.karno")],
  mgus2 = mgus2[, c("etime", "pstat", "death", "futime", "sex")],
  plain = at_times(plain, times), robust = at_times(robust, times),
  heart = at_times(heart_fit, c(10, 30, 100)),
  states = list(sex = as.character(states$strata), time = states$time, pstate = states$pstate,
                se = states$std.err, n_event = states$n.event),
  pairwise = pairs_of(veteran, "celltype"),
  adjusted = adjusted
), "survival")
