# Competing endings with a therapist's effect on each: the multinomial likelihood written as a TMB
# template, its Laplace approximation and derivatives by automatic differentiation.
source("common.R")
suppressPackageStartupMessages(library(TMB))
template <- '
#include <TMB.hpp>
template<class Type> Type objective_function<Type>::operator() () {
  DATA_MATRIX(X); DATA_IVECTOR(ending); DATA_IVECTOR(group);
  PARAMETER_MATRIX(beta); PARAMETER_VECTOR(log_sd); PARAMETER_VECTOR(lower); PARAMETER_MATRIX(b);
  int K = beta.rows();
  density::UNSTRUCTURED_CORR_t<Type> prior(lower);
  vector<Type> sd = exp(log_sd);
  Type nll = 0;
  for (int g = 0; g < b.cols(); g++) nll += density::VECSCALE(prior, sd)(vector<Type>(b.col(g)));
  matrix<Type> eta = X * beta.transpose();
  for (int i = 0; i < X.rows(); i++) {
    Type total = 1;
    for (int k = 0; k < K; k++) total += exp(eta(i, k) + b(k, group(i)));
    nll += log(total);
    if (ending(i) > 0) nll -= eta(i, ending(i) - 1) + b(ending(i) - 1, group(i));
  }
  REPORT(prior.cov()); ADREPORT(log_sd);
  return nll;
}'
folder <- tempfile("tmb"); dir.create(folder)
writeLines(template, file.path(folder, "endings.cpp"))
compile(file.path(folder, "endings.cpp"), flags = "-O1 -w")
dyn.load(dynlib(file.path(folder, "endings")))

set.seed(47)
n_therapists <- 40; per_therapist <- 9; last <- 8
therapist <- rep(seq_len(n_therapists), each = per_therapist)
L <- rbind(c(.9, 0), c(-.35, .6))
b <- matrix(rnorm(2 * n_therapists), n_therapists) %*% t(L)
rows <- list()
for (i in seq_along(therapist)) {
  barrier <- rbinom(1, 1, .4)
  for (t in seq_len(last)) {
    alliance <- round(.5 * rnorm(1), 2)
    odds <- exp(c(-2.6 + .4 * barrier - .5 * alliance, -3 + .1 * t + .3 * alliance) +
                b[therapist[i], ])
    code <- sample(0:2, 1, prob = c(1, odds))
    rows[[length(rows) + 1]] <- data.frame(family = sprintf("F%03d", i),
      therapist = sprintf("T%02d", therapist[i]), session = t, alliance = alliance,
      barrier = barrier, ending = code)
    if (code > 0) break
  }
}
d <- do.call(rbind, rows)
X <- model.matrix(~ poly(session, 2) + alliance + barrier, d)
group <- as.integer(factor(d$therapist)) - 1L
fitted <- function(correlated) {
  parameters <- list(beta = matrix(0, 2, ncol(X)), log_sd = c(-.7, -.7), lower = 0,
                     b = matrix(0, 2, n_therapists))
  f <- MakeADFun(list(X = X, ending = d$ending, group = group), parameters, random = "b",
                 map = if (correlated) list() else list(lower = factor(NA)), DLL = "endings",
                 silent = TRUE, inner.control = list(tol10 = 0, maxit = 200))
  found <- nlminb(f$par, f$fn, f$gr, control = list(rel.tol = 1e-15, iter.max = 500, eval.max = 500))
  # nlminb stops on the function: end with Newton steps on the gradient
  for (i in 1:3) found$par <- found$par - solve(optimHess(found$par, f$fn, f$gr), f$gr(found$par))
  H <- optimHess(found$par, f$fn, f$gr, control = list(ndeps = rep(1e-5, length(found$par))))
  se <- sqrt(diag(solve(H)))
  is_beta <- names(found$par) == "beta"
  lower <- if (correlated) unname(found$par[names(found$par) == "lower"]) else 0
  log_lik <- -as.numeric(f$fn(found$par))
  modes <- f$env$parList(found$par)$b
  list(log_lik = log_lik,
       beta = t(matrix(found$par[is_beta], 2)), se = t(matrix(se[is_beta], 2)),
       sd = unname(exp(found$par[names(found$par) == "log_sd"])),
       log_sd_se = unname(se[names(found$par) == "log_sd"]),
       cor = lower / sqrt(1 + lower^2), modes = t(modes))
}
write_reference(list(data = d, correlated = fitted(TRUE), independent = fitted(FALSE)),
                packages = "TMB")
