# Outcome and leaving in one likelihood, by dense integration: every integral is a sum over an even
# grid, so that nothing is shared with quadrature. optim climbs, optimHess gives the information.
source("common.R")
drawn <- function(seed, units, therapists, alpha, times = 0:4, slope = 0, omega = 0) {
  set.seed(seed)
  v <- rnorm(therapists, 0, .8); w <- rnorm(therapists, 0, omega)
  outcomes <- NULL; periods <- NULL
  for (i in seq_len(units)) {
    t <- 1 + i %% therapists; b <- rnorm(1, 0, 1.2); g <- rnorm(1, 0, slope); x <- i %% 2
    for (s in 1:6) {
      if ((s - 1) %in% times && i > 3)  # three units have no rating at all
        outcomes <- rbind(outcomes, data.frame(id = i, therapist = t, x = x, time = s - 1,
          y = 10 + .5 * x - .4 * (s - 1) + b + g * (s - 1) + v[t] + rnorm(1)))
      left <- as.numeric(runif(1) < plogis(-2 + .4 * x + alpha * (b + v[t]) + w[t]))
      periods <- rbind(periods, data.frame(id = i, therapist = t, x = x, time = s - 1,
                                           session = s, event = left))
      if (left == 1) break
    }
  }
  list(outcomes = outcomes, periods = periods)
}
inverse <- list(logit = plogis, cloglog = function(eta) -expm1(-exp(eta)))
even <- function(n, reach) { at <- seq(-reach, reach, length.out = n); list(at = at, log = dnorm(at, log = TRUE) + log(at[2] - at[1])) }
lse <- function(m) { top <- apply(m, 1, max); top + log(rowSums(exp(m - top))) }
# par: beta (1, time, x), log sd of b, log sigma, tau, gamma (1, log session, x), alpha, lambda, omega
criterion <- function(p, data, what, grid) {
  y <- data$outcomes; r <- data$periods
  ids <- sort(unique(c(y$id, r$id))); of <- match(y$id, ids); at <- match(r$id, ids)
  clusters <- r$therapist[match(ids, r$id)]
  mu <- p$beta[1] + p$beta[2] * y$time + p$beta[3] * y$x
  m <- p$beta[1] + p$beta[2] * r$time + p$beta[3] * r$x
  base <- p$gamma[1] + p$gamma[2] * log(r$session) + p$gamma[3] * r$x
  b <- exp(p$log_sd) * grid$b$at
  given <- function(v, w) {
    one <- outer(y$y - mu - v, b, "-")
    own <- rowsum(dnorm(one, 0, exp(p$log_sigma), log = TRUE), factor(of, seq_along(ids)), reorder = TRUE)
    full <- matrix(0, length(ids), length(b)); full[as.integer(rownames(own)), ] <- own
    shared <- if (what$association == "value") outer(m + v, b, "+") else matrix(b, nrow(r), length(b), byrow = TRUE)
    eta <- base + p$alpha * shared + p$lambda * v + w
    h <- inverse[[what$link]](eta)
    hazard <- rowsum(log(r$event * h + (1 - r$event) * (1 - h)), at, reorder = TRUE)
    rowsum(lse(sweep(full + hazard, 2, grid$b$log, "+")), clusters, reorder = TRUE)
  }
  if (!what$v && !what$w) return(sum(given(0, 0)))
  vs <- if (what$v) grid$v else list(at = 0, log = 0)
  ws <- if (what$w) grid$w else list(at = 0, log = 0)
  all <- NULL
  for (i in seq_along(vs$at)) for (j in seq_along(ws$at))
    all <- cbind(all, given(p$tau * vs$at[i], p$omega * ws$at[j]) + vs$log[i] + ws$log[j])
  sum(lse(all))
}
parts <- function(x, what) {
  p <- list(beta = x[1:3], log_sd = x[4], log_sigma = x[5], gamma = x[6:8], alpha = x[9], tau = 0, lambda = 0, omega = 0)
  k <- 9
  if (what$v) { k <- k + 1; p$tau <- x[k] }
  if (what$lambda) { k <- k + 1; p$lambda <- x[k] }
  if (what$w) { k <- k + 1; p$omega <- x[k] }
  p
}
fine <- list(b = even(81, 6), v = even(31, 5.5), w = even(31, 5.5))
coarse <- list(b = even(61, 6), v = even(25, 5.5), w = even(25, 5.5))
climbed <- function(data, what, start) {
  f <- function(x) -criterion(parts(x, what), data, what, fine)
  found <- optim(start, f, method = "BFGS", control = list(reltol = 1e-13, maxit = 500))
  found <- optim(found$par, f, method = "BFGS", control = list(reltol = 1e-14, maxit = 500))
  V <- solve(optimHess(found$par, f, control = list(ndeps = rep(1e-3, length(start)))))
  list(par = found$par, se = sqrt(diag(V)), log_lik = -found$value)
}
start <- c(10, -.4, .5, .2, 0, -2, 0, .3, .3)
studies <- list(
  plain = list(data = drawn(3, 60, 6, .6), what = list(association = "effects", link = "cloglog", v = FALSE, w = FALSE, lambda = FALSE)),
  sparse = list(data = drawn(9, 70, 6, 1.2, times = c(0, 4)), what = list(association = "effects", link = "logit", v = FALSE, w = FALSE, lambda = FALSE)),
  value = list(data = drawn(5, 60, 8, .5), what = list(association = "value", link = "logit", v = TRUE, w = FALSE, lambda = FALSE)),
  shared = list(data = drawn(6, 60, 8, .6), what = list(association = "effects", link = "cloglog", v = TRUE, w = FALSE, lambda = TRUE)),
  boundary = list(data = drawn(7, 60, 8, .5, omega = .9), what = list(association = "effects", link = "cloglog", v = FALSE, w = TRUE, lambda = FALSE)),
  hazard = list(data = drawn(10, 80, 8, .5, omega = 1.3), what = list(association = "effects", link = "cloglog", v = FALSE, w = TRUE, lambda = FALSE)))
told <- lapply(studies, function(s) {
  more <- c(if (s$what$v) .7, if (s$what$lambda) .3, if (s$what$w) .7)
  c(list(data = s$data), climbed(s$data, s$what, c(start, more)))
})
# therapists with effects of both kinds: the value at one place, not the maximum
both <- drawn(8, 40, 6, .5, omega = .7)
what <- list(association = "effects", link = "cloglog", v = TRUE, w = TRUE, lambda = TRUE)
at <- c(10, -.4, .5, .2, 0, -2, .1, .3, .4, .7, .3, .6)
told$correlated <- list(data = both, par = at, log_lik = criterion(parts(at, what), both, what, coarse))
write_reference(told, character())
