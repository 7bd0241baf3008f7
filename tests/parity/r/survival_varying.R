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
# Fine and Gray's model by cmprsk's crr with a function of time; hazards by session by glm
set.seed(8)
n <- 140
fine <- data.frame(x = rnorm(n), z = rbinom(n, 1, .5), clinic = sample(1:17, n, TRUE))
own <- rexp(n, exp(.6 * fine$x) / 8); other <- rexp(n, 1 / 12); seen <- runif(n, 1, 15)
fine$time <- round(pmin(own, other, seen), 4)
fine$state <- ifelse(seen <= pmin(own, other), 0, ifelse(own < other, 1, 2))
crr_of <- function(tf, columns) {
  fit <- cmprsk::crr(fine$time, fine$state, cov1 = as.matrix(fine[, c("x", "z")]),
                     cov2 = as.matrix(fine[, rep("x", columns)]), tf = tf, failcode = 1,
                     gtol = 1e-12, maxiter = 100)
  list(coef = unname(fit$coef), vcov = unname(fit$var))
}
rows <- do.call(rbind, lapply(1:160, function(i) {
  x <- rnorm(1); out <- NULL
  for (t in 1:7) {
    k <- sample(0:2, 1, prob = c(1, exp(c(-2.4 + (.9 - .2 * t) * x, -2.8 + .1 * t))))
    out <- rbind(out, data.frame(id = i, session = t, x = round(x, 4), ending = k, clinic = i %% 14))
    if (k > 0) break
  }
  out
}))
rows$left <- as.numeric(rows$ending == 1)
glm_of <- function(formula, link) {
  fit <- glm(formula, binomial(link), rows, control = glm.control(epsilon = 1e-14, maxit = 100))
  list(coef = unname(coef(fit)), deviance = deviance(fit))
}
write_reference(list(
  fine = fine, fine_log = crr_of(function(t) log(t), 1),
  fine_square = crr_of(function(t) cbind(t, t^2), 2),
  rows = rows,
  session = lapply(c(cloglog = "cloglog", logit = "logit"), function(link) list(
    small = glm_of(left ~ factor(session) - 1 + x, link),
    large = glm_of(left ~ factor(session) - 1 + x + x:log(session), link))),
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
), c("survival", "cmprsk"))
