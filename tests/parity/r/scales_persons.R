# Reliability of repeated forms: generalizability (psych, REML by lme4 and nlme) and reliability of family means (lme4).
source("common.R")
suppressPackageStartupMessages({library(psych); library(lme4)})
set.seed(17)
P <- 36; k <- 6; m <- 4
d <- expand.grid(time = 1:k, id = 1:P)
person <- rnorm(P)[d$id]; time <- .7 * rnorm(k)[d$time]; both <- .6 * rnorm(P * k)
own <- matrix(.5 * rnorm(P * m), P); shift <- matrix(.4 * rnorm(k * m), k); family <- rnorm(P / 3)[(d$id - 1) %/% 3 + 1]
for (j in 1:m)
  d[[paste0("i", j)]] <- round(4 + .3 * j + person + family + time + both + own[d$id, j] + shift[d$time, j] + .7 * rnorm(P * k), 2)
d$family <- (d$id - 1) %/% 3 + 1
items <- paste0("i", 1:m)
r <- mlr(d, grp = "id", Time = "time", items = items, alpha = FALSE, icc = FALSE, lme = TRUE, lmer = TRUE)
d$score <- rowMeans(d[items])
v <- as.data.frame(VarCorr(lmer(score ~ 1 + (1 | family) + (1 | id), d, control = lmerControl(optCtrl = list(xtol_rel = 1e-12)))))
v <- setNames(v$vcov, v$grp)
write_reference(list(data = d[c("id", "family", "time", items)],
                     coefficients = r[c("RkF", "R1R", "RkR", "Rc", "RkRn", "Rcn")],
                     family = unname(v["family"] / (v["family"] + v["id"] / 3 + v["Residual"] / (3 * k)))),
                packages = c("psych", "lme4", "nlme"))
