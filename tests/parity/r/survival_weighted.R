# Weighted curves: survfit with weights and robust errors; ties and delayed entry; clusters with text names.
source("common.R")
suppressPackageStartupMessages(library(survival))
drawn <- function(seed, n, whole, late) {
  set.seed(seed)
  x <- rnorm(n); g <- sample(c("a b", "c"), n, TRUE)
  entry <- if (late) ifelse(runif(n) < .4, runif(n, 0, 3), 0) else rep(0, n)
  one <- rexp(n, .15 * exp(.4 * x)); two <- rexp(n, .1); end <- runif(n, 1, 15)
  exit <- pmin(one, two, end)
  state <- ifelse(exit == end, 0, ifelse(exit == one, 1, 2))
  if (whole) { exit <- ceiling(exit); entry <- floor(entry) }
  data <- data.frame(x, g, entry, exit, state, clinic = sample(c("K 1", "K 2", "K 3", letters[1:9]), n, TRUE),
                     w = exp(rnorm(n, 0, .7)))
  data[data$exit > data$entry, ]
}
samples <- list(ties = drawn(1, 200, TRUE, FALSE), late = drawn(2, 250, FALSE, TRUE))
curve <- function(data, clustered) {
  data$own <- if (clustered) data$clinic else as.character(seq_len(nrow(data)))
  fit <- summary(survfit(Surv(entry, exit, state > 0) ~ g, data, weights = w, robust = TRUE,
                         cluster = own), times = c(1, 3, 6))
  list(estimate = fit$surv, std_error = fit$std.err)
}
states <- function(data) {  # of several states survfit 3.5 gives no errors over clusters

  data$id <- seq_len(nrow(data)); data$s <- factor(data$state, 0:2, c("censored", "one", "two"))
  fit <- survfit(Surv(entry, exit, s) ~ 1, data, weights = w, id = id)
  fit <- summary(fit, times = c(1, 3, 6))
  list(estimate = unname(fit$pstate[, 2:3]), std_error = unname(fit$std.err[, 2:3]))
}
write_reference(list(
  samples = samples,
  curves = lapply(samples, curve, FALSE), clustered = lapply(samples, curve, TRUE),
  states = lapply(samples, states)
), c("survival"))
