# Exact (restricted) likelihood-ratio tests of a model's only variance: RLRsim's exactRLRT and
# exactLRT, 200,000 draws each, and the same by brute force on the smallest case (10,000 refits).
source("common.R")
suppressPackageStartupMessages({library(lme4); library(RLRsim)})
study <- function(seed, sizes, sd) {
  set.seed(seed)
  g <- rep(seq_along(sizes), sizes)
  d <- data.frame(therapist = g, x = rnorm(length(g)), z = rnorm(length(sizes))[g])
  d$y <- 1 + 0.3 * d$x + sd * rnorm(length(sizes))[g] + rnorm(length(g))
  d
}
cases <- list(list(seed = 1, sizes = rep(5, 5), sd = 0.5), list(seed = 2, sizes = c(2, 3, 8, 20, 4, 4, 9), sd = 0.35),
              list(seed = 3, sizes = rep(10, 15), sd = 0.2), list(seed = 5, sizes = c(3, 3, 4, 12), sd = 0.3))
run <- function(case) {
  d <- study(case$seed, case$sizes, case$sd)
  m <- lmer(y ~ x + z + (1 | therapist), d, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10)))
  ml <- refitML(m)
  r <- exactRLRT(m, nsim = 2e5, seed = 1)
  l <- exactLRT(ml, lm(y ~ x + z, d), nsim = 2e5, seed = 1)
  q <- exactLRT(ml, lm(y ~ x, d), nsim = 2e5, seed = 1)
  list(data = as.list(d), rlrt = unname(r$statistic), rlrt_p = r$p.value, lrt = unname(l$statistic), lrt_p = l$p.value,
       fixed = unname(q$statistic), fixed_p = q$p.value)
}
write_reference(list(cases = lapply(cases, run)), packages = c("lme4", "RLRsim"))
