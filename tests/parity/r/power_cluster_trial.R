# Power of a cluster-randomised trial by a loop of lme4 and lmerTest of its own: 10 clusters of 6
# members an arm, Satterthwaite's df, 1,000 trials a cell.
source("common.R")
suppressPackageStartupMessages({library(lme4); library(lmerTest)})
set.seed(20)
n_studies <- 1000; k <- 10; m <- 6
one <- function(icc, effect) {
  cluster <- rep(seq_len(2 * k), each = m)
  treated <- as.numeric(cluster <= k)
  y <- effect * treated + sqrt(icc) * rnorm(2 * k)[cluster] + sqrt(1 - icc) * rnorm(2 * k * m)
  fit <- suppressMessages(lmerTest::lmer(y ~ treated + (1 | cluster)))
  c(p = unname(coef(summary(fit))["treated", "Pr(>|t|)"]), singular = isSingular(fit))
}
cells <- expand.grid(icc = c(0.05, 0.2), effect = c(0, 0.6))
cells$rejected <- NA
cells$singular <- NA
for (i in seq_len(nrow(cells))) {
  found <- replicate(n_studies, one(cells$icc[i], cells$effect[i]))
  cells$rejected[i] <- sum(found["p", ] < 0.05)
  cells$singular[i] <- sum(found["singular", ])
}
write_reference(list(n_studies = n_studies, clusters = k, members = m, cells = cells),
                packages = c("lme4", "lmerTest"))
