# Coefficients that change with time: coxph with tt() and, beside it, rows cut by survSplit.
source("common.R")
suppressPackageStartupMessages(library(survival))
tight <- coxph.control(eps = 1e-12, iter.max = 200, toler.chol = 1e-14)
data <- veteran[, c("trt", "time", "status", "karno", "age", "celltype")]
set.seed(4)
data$clinic <- sample(1:20, nrow(data), TRUE)
drawn <- function(seed, n) {  # ties, delayed entry, strata
  set.seed(seed)
  x <- rnorm(n); g <- rbinom(n, 1, .5); h <- sample(c("a b", "c", "d"), n, TRUE)
  start <- ifelse(runif(n) < .4, sample(0:4, n, TRUE), 0)
  stop <- start + 1 + rgeom(n, .12)
  data.frame(x, g, h, start, stop, left = rbinom(n, 1, .7), clinic = sample(letters[1:12], n, TRUE))
}
late <- drawn(9, 300)
told <- function(fit) list(coef = unname(coef(fit)), vcov = unname(vcov(fit)), loglik = fit$loglik)
plain <- function(ties) coxph(Surv(time, status) ~ trt + karno, data, ties = ties, control = tight)
# survSplit, for the robust errors that tt() does not offer
split <- function(d, start, stop, event, id) {
  cut <- sort(unique(d[[stop]][d[[event]] == 1]))
  d$own_id <- seq_len(nrow(d))
  survSplit(as.formula(sprintf("Surv(%s, %s, %s) ~ .", start, stop, event)), d, cut = cut,
            start = "from", end = "to", event = "dead")
}
late_cut <- split(late, "start", "stop", "left")
write_reference(list(
  veteran = data, late = late,
  log = told(coxph(Surv(time, status) ~ trt + karno + tt(karno), data, control = tight,
                   tt = function(x, t, ...) x * log(t))),
  log_base = plain("efron")$loglik[2],
  linear = told(coxph(Surv(time, status) ~ trt + karno + tt(karno), data, ties = "breslow",
                      control = tight, tt = function(x, t, ...) x * t)),
  linear_base = plain("breslow")$loglik[2],
  late_log = told(coxph(Surv(from, to, dead) ~ x + g + I(x * log(to)) + strata(h), late_cut,
                        control = tight)),
  late_robust = told(coxph(Surv(from, to, dead) ~ x + g + I(x * to) + cluster(clinic), late_cut,
                           control = tight))
), c("survival"))
