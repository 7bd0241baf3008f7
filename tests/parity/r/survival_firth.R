# Firth's penalty. Cox: the penalised partial likelihood from coxph evaluated at fixed coefficients
# (its log-likelihood and its information), climbed by optim, profiled by uniroot. Hazards by
# session: brglm2's Jeffreys penalty, and the same function profiled by optim.
source("common.R")
suppressPackageStartupMessages({library(survival); library(brglm2)})
set.seed(22)
n <- 80
cox <- data.frame(x = rnorm(n), g = sample(c("a b", "c", "none"), n, TRUE, c(.4, .4, .2)),
                  h = sample(1:2, n, TRUE), start = sample(0:2, n, TRUE))
cox$stop <- cox$start + 1 + rgeom(n, .25)
cox$left <- ifelse(cox$g == "none", 0, rbinom(n, 1, .5))
penalised <- function(b, ties, surv, rhs) {
  fit <- coxph(as.formula(paste(surv, "~", rhs)), cox, init = b, ties = ties,
               control = coxph.control(iter.max = 0))
  unname(fit$loglik[2] - .5 * determinant(vcov(fit))$modulus[1])
}
climb <- function(f, start) {
  fit <- list(par = start)
  for (k in 1:4) fit <- optim(fit$par, function(b) -f(b), method = "BFGS",
                              control = list(reltol = 1e-16, maxit = 1000, ndeps = rep(1e-5, length(start))))
  fit
}
profiled <- function(f, best, k, value) {
  if (length(best$par) == 1) return(f(value))
  held <- function(free) { b <- best$par; b[-k] <- free; b[k] <- value; f(b) }
  -climb(held, best$par[-k])$value
}
limits <- function(f, best, k, se) {
  height <- qchisq(.95, 1)
  excess <- function(v) 2 * (-best$value - profiled(f, best, k, v)) - height
  c(uniroot(excess, best$par[k] + c(-8, -.3) * se, tol = 1e-9)$root,
    uniroot(excess, best$par[k] + c(.3, 8) * se, tol = 1e-9)$root)
}
told <- function(f, p, se) {
  best <- climb(f, rep(0, p))
  list(coef = best$par,
       statistic = sapply(1:p, function(k) 2 * (-best$value - profiled(f, best, k, 0))),
       joint = 2 * (-best$value - f(rep(0, p))),
       limits = lapply(1:p, function(k) limits(f, best, k, se[k])))
}
right <- "Surv(stop, left)"; late <- "Surv(start, stop, left)"
cox_fits <- list(
  efron = told(function(b) penalised(b, "efron", right, "x + g"), 3, c(.2, .4, 1.5)),
  breslow = told(function(b) penalised(b, "breslow", right, "x + g"), 3, c(.2, .4, 1.5)),
  late = told(function(b) penalised(b, "efron", late, "x + g + strata(h)"), 3, c(.2, .4, 1.5))
)
m <- 70
rows <- do.call(rbind, lapply(1:m, function(i) {
  g <- c("a", "b", "none")[1 + i %% 3]; x <- rnorm(1)
  stay <- min(1 + rgeom(1, .2), 6); ends <- g != "none" && runif(1) < .8
  data.frame(id = paste0("F ", i), session = 1:stay, x = x, g = g,
             left = c(rep(0, stay - 1), as.numeric(ends)))
}))
binary <- function(link) {
  fit <- glm(left ~ factor(session) + x + g, binomial(link), rows, method = "brglmFit",
             type = "MPL_Jeffreys", epsilon = 1e-12, maxit = 1000, slowit = .5)
  X <- model.matrix(fit)
  f <- function(b) {
    eta <- drop(X %*% b); p <- if (link == "logit") plogis(eta) else -expm1(-exp(eta))
    slope <- if (link == "logit") p * (1 - p) else exp(eta) * (1 - p)
    logp <- if (link == "logit") plogis(eta, log.p = TRUE) else log(p)
    logq <- if (link == "logit") plogis(-eta, log.p = TRUE) else -exp(eta)
    w <- slope^2 / (p * (1 - p))
    value <- sum(ifelse(rows$left == 1, logp, logq)) +
      .5 * determinant(crossprod(X, X * w))$modulus[1]
    if (is.finite(value)) value else -1e10
  }
  best <- list(par = unname(coef(fit)), value = -f(coef(fit)))
  k <- ncol(X)
  list(coef = best$par, se = unname(sqrt(diag(vcov(fit)))),
       statistic = 2 * (-best$value - profiled(f, best, k, 0)),
       limits = limits(f, best, k, 1.6))
}
data(endometrial, package = "brglm2")
write_reference(list(cox = cox, cox_fits = cox_fits, rows = rows,
                     logit = binary("logit"), cloglog = binary("cloglog"),
                     endometrial = endometrial), c("survival", "brglm2"))
