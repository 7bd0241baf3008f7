# Discrete hazards with standard errors over clusters: sandwich's vcovCL and clubSandwich's CR2 of a
# generalized linear model, t by Satterthwaite, and its F test of several coefficients.
source("common.R")
suppressPackageStartupMessages({library(sandwich); library(clubSandwich); library(survival)})
set.seed(8)
rows <- do.call(rbind, lapply(1:180, function(i) {
  th <- (i - 1) %% 9 + 1; x <- rnorm(1); z <- as.numeric(th %% 3 == 0); out <- NULL
  g <- sample(c("a", "b", "c"), 1); u <- .6 * sin(th * 5)
  for (t in 1:6) {
    p <- plogis(-2.2 + .15 * t + .4 * x + u)
    out <- rbind(out, data.frame(id = i, therapist = th, session = t, x, z, g, event = rbinom(1, 1, p)))
    if (tail(out$event, 1) == 1) break
  }
  out
}))
of <- function(link) {
  fit <- do.call(glm, list(event ~ factor(session) + x + z + g, data = rows, family = binomial(link),
                           control = glm.control(epsilon = 1e-14, maxit = 100)))
  V <- vcovCR(fit, cluster = rows$therapist, type = "CR2")
  t <- coef_test(fit, vcov = V, test = "Satterthwaite")
  w <- Wald_test(fit, constraints = constrain_zero(c("gb", "gc")), vcov = V, test = "HTZ")
  list(robust = unname(sqrt(diag(vcovCL(fit, cluster = rows$therapist, type = "HC0")))),
       cr2 = t$SE, df = t$df_Satt, f = w$Fstat, df2 = w$df_denom)
}
write_reference(list(rows = rows, logit = of("logit"), cloglog = of("cloglog")),
                c("sandwich", "clubSandwich"))
