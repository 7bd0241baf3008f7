# Fine-Gray models of units seen from later on: survival::finegray's weights, coxph with Breslow's
# ties. Times are continuous, so that no event ties with a censoring (which the two sides order
# differently) or with an entry.
source("common.R")
suppressPackageStartupMessages(library(survival))
tight <- coxph.control(eps = 1e-12, iter.max = 200, toler.chol = 1e-14)

drawn <- function(seed, n, late) {
  set.seed(seed)
  x <- rnorm(n); g <- rbinom(n, 1, .5)
  one <- rexp(n, .12 * exp(.5 * x - .4 * g)); two <- rexp(n, .10 * exp(-.3 * x + .2 * g))
  entry <- ifelse(runif(n) < late, runif(n, 0, 6), 0)
  end <- runif(n, 2, 16)
  exit <- pmin(one, two, end)
  state <- ifelse(exit == end, 0, ifelse(exit == one, 1, 2))
  data <- data.frame(id = seq_len(n), x, g, entry, exit, state)
  data[data$exit > data$entry, ]
}
fitted <- function(data, cause) {
  data$state <- factor(data$state, 0:2, c("censored", "one", "two"))
  long <- finegray(Surv(entry, exit, state) ~ x + g, data = data, id = id, etype = cause)
  fit <- coxph(Surv(fgstart, fgstop, fgstatus) ~ x + g, data = long, weights = fgwt,
               ties = "breslow", control = tight)
  list(coef = unname(coef(fit)), loglik = fit$loglik,
       cumhaz = max(basehaz(fit, centered = FALSE)$hazard))
}
samples <- list(half = drawn(1, 400, .5), all = drawn(2, 300, 1), none = drawn(3, 200, 0))
write_reference(list(
  samples = samples,
  fits = lapply(samples, function(data) list(one = fitted(data, "one"), two = fitted(data, "two")))
), c("survival"))
