# Ratings in steps whose effects differ from threshold to threshold, and quadrature, by clmm2.
source("common.R")
suppressPackageStartupMessages(library(ordinal))

ratings <- function(seed, sizes, thresholds, effects) {
  set.seed(seed)
  g <- rep(seq_along(sizes), sizes)
  n <- length(g)
  d <- data.frame(g = paste("unit", g), x = round(rnorm(n), 3),
                  arm = c("control", "early", "late")[1 + seq_len(n) %% 3])
  latent <- 0.4 * d$x + rnorm(length(sizes), 0, 0.8)[g] + rlogis(n)
  moved <- outer(d$arm == "early", effects) + outer(d$arm == "late", rev(effects))
  d$rating <- 1 + rowSums(latent > matrix(thresholds, n, length(thresholds), byrow = TRUE) - moved)
  d
}
even <- ratings(4, rep(15, 40), c(-1, 0, 1.3), c(0.1, 0.6, 1.2))
uneven <- ratings(6, c(3, 4, 4, 6, 7, 9, 12, 15, 20, 28, 35, 60, 90), c(-2, -0.5, 0.4, 1.5), c(0, 0.3, 0.6, 0.9))

describe <- function(formula, data, nominal, nAGQ, link = "logistic") {
  data$rating <- factor(data$rating); data$g <- factor(data$g); data$arm <- factor(data$arm)
  arguments <- list(location = formula, random = quote(g), data = data, Hess = TRUE, nAGQ = nAGQ,
                    link = link, control = clmm2.control(gradTol = 1e-8))
  if (!is.null(nominal)) arguments$nominal <- nominal
  m <- suppressWarnings(do.call(clmm2, arguments))
  cf <- coef(summary(m))
  list(log_lik = as.numeric(logLik(m)), term = rownames(cf), estimate = unname(cf[, 1]),
       std_error = unname(cf[, 2]), sd = unname(m$stDev))
}
write_reference(list(
  even = even, uneven = uneven,
  even_arm = describe(rating ~ x, even, ~ arm, 1),
  even_arm_nodes = describe(rating ~ x, even, ~ arm, 9),
  uneven_x = describe(rating ~ arm, uneven, ~ x, 1),
  uneven_both = describe(rating ~ 1, uneven, ~ x + arm, 1, "probit"),
  uneven_nodes = describe(rating ~ x + arm, uneven, NULL, 11)
), packages = "ordinal")
