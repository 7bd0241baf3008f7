# Alpha with Feldt's interval and item-rest correlations (psych), omega total with its delta-method SE (lavaan).
source("common.R")
suppressPackageStartupMessages({library(psych); library(lavaan)})
set.seed(11)
case <- function(n, loadings, own, missing) {
  f <- rnorm(n)
  d <- as.data.frame(sapply(seq_along(loadings), function(j) round(4 + loadings[j] * f + own[j] * rnorm(n), 1)))
  names(d) <- paste0("i", seq_along(loadings))
  if (missing) d[1:3, 1] <- NA
  used <- na.omit(d)
  a <- suppressWarnings(psych::alpha(used, warnings = FALSE))
  i <- alpha.ci(a$total$raw_alpha, n.obs = nrow(used), n.var = ncol(used), digits = 12)
  k <- seq_along(loadings); l <- paste0("l", k); u <- paste0("u", k)
  model <- paste0("f =~ NA*i1 + ", paste0(l, "*i", k, collapse = " + "), "\n f ~~ 1*f\n",
                  paste0("i", k, " ~~ ", u, "*i", k, collapse = "\n"),
                  "\n omega := (", paste(l, collapse = " + "), ")^2 / ((", paste(l, collapse = " + "), ")^2 + ",
                  paste(u, collapse = " + "), ")")
  fit <- cfa(model, used, control = list(rel.tol = 1e-10, eval.max = 5000, iter.max = 5000))
  o <- subset(parameterEstimates(fit), label == "omega")
  list(data = d, n = nrow(used), alpha = a$total$raw_alpha, low = i$lower.ci, high = i$upper.ci,
       rest = a$item.stats$r.drop, omega = o$est, se = o$se, omega_low = o$ci.lower, omega_high = o$ci.upper)
}
write_reference(list(
  cases = list(case(120, c(.9, .8, 1.1, .4, .6), c(.8, 1, .7, 1.2, .9), FALSE),
               case(60, c(1, .7, .5), c(.6, .8, 1), TRUE),
               case(300, c(.3, .3, .5, .2, .4, .3, .5, .6), rep(1, 8), FALSE))),
  packages = c("psych", "lavaan"))
