# Families nested in therapists: coxph with a ridge penalty on each level's dummies gives the
# penalised maximum and its information for given variances; Laplace's approximation from them is
# climbed by optim. (coxme would climb the unrestricted one.)
source("common.R")
suppressPackageStartupMessages(library(survival))
drawn <- function(seed, therapists, families, members, sds, late) {
  set.seed(seed)
  data <- do.call(rbind, lapply(seq_len(therapists), function(t) {
    top <- rnorm(1, 0, sds[2])
    do.call(rbind, lapply(seq_len(1 + (t + families) %% families + 1), function(f) {
      own <- rnorm(1, 0, sds[1])
      n <- 1 + (t + f) %% members
      x <- rnorm(n); end <- rexp(n, exp(.5 * x + own + top)); cut <- rexp(n, .5)
      start <- if (late) sample(0:2, n, TRUE) else rep(0, n)
      data.frame(therapist = paste("T", t), family = paste0("F", t, "-", f), x, start,
                 stop = start + ceiling(5 * pmin(end, cut)), left = as.numeric(end <= cut))
    }))
  }))
  data
}
criterion <- function(data, ties, logs) {
  theta <- exp(logs)
  Zf <- model.matrix(~ family - 1, data); Zt <- model.matrix(~ therapist - 1, data)
  q <- c(ncol(Zf), ncol(Zt))
  fit <- coxph(Surv(start, stop, left) ~ x + ridge(Zf, theta = 1 / theta[1], scale = FALSE) +
                 ridge(Zt, theta = 1 / theta[2], scale = FALSE), data, ties = ties,
               control = coxph.control(eps = 1e-13, iter.max = 100, toler.chol = 1e-14))
  b <- coef(fit)[-1]
  own <- seq_len(q[1])
  value <- fit$loglik[2] - sum(b[own]^2) / (2 * theta[1]) - sum(b[-own]^2) / (2 * theta[2])
  whole <- solve(fit$var)
  laplace <- value - sum(q * log(theta)) / 2 - determinant(whole[-1, -1])$modulus[1] / 2
  list(laplace = laplace, beta = unname(coef(fit)[1]), se = sqrt(fit$var[1, 1]),
       restricted = laplace + log(fit$var[1, 1]) / 2, b = unname(b))
}
told <- function(data, ties = "efron") {
  f <- function(logs) -criterion(data, ties, logs)$restricted
  best <- list(par = c(-1, -1))
  for (k in 1:3) best <- optim(best$par, f, control = list(reltol = 1e-14, maxit = 2000))
  found <- criterion(data, ties, best$par)
  c(list(variances = exp(best$par), held = criterion(data, ties, log(c(.3, .2)))), found)
}
samples <- list(right = drawn(5, 9, 4, 4, c(.8, .7), FALSE), late = drawn(8, 7, 4, 5, c(.9, .6), TRUE))
write_reference(list(samples = samples, right = told(samples$right),
                     breslow = told(samples$right, "breslow"), late = told(samples$late)),
                c("survival"))
