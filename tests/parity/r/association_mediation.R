# Mediation by lavaan: one level (single, parallel, serial) and two levels (1-1-1, 2-1-1).
source("common.R")
suppressPackageStartupMessages(library(lavaan))
set.seed(21)
n <- 160
d <- data.frame(x = rep(0:1, length.out = n), z = round(rnorm(n), 2))
d$m1 <- round(.5 * d$x + .3 * d$z + rnorm(n), 3)
d$m2 <- round(.3 * d$x + .4 * d$m1 + rnorm(n), 3)
d$y <- round(.2 * d$x + .5 * d$m1 + .3 * d$m2 - .2 * d$z + rnorm(n), 3)
of <- function(model, data, ...) {
  f <- sem(model, data, ...)
  p <- parameterEstimates(f)
  p <- p[p$op %in% c("~", ":="), ]
  list(lhs = p$lhs, op = p$op, rhs = p$rhs, level = if (is.null(p$level)) rep(1, nrow(p)) else p$level,
       estimate = p$est, se = p$se, log_lik = as.numeric(logLik(f)))
}
single <- "m1 ~ a*x + z\n y ~ b*m1 + c*x + z\n indirect := a*b\n total := a*b + c"
parallel <- "m1 ~ a1*x\n m2 ~ a2*x\n y ~ b1*m1 + b2*m2 + c*x\n m1 ~~ m2\n one := a1*b1\n two := a2*b2\n both := a1*b1 + a2*b2"
serial <- "m1 ~ a1*x\n m2 ~ a2*x + d*m1\n y ~ b1*m1 + b2*m2 + c*x\n long := a1*d*b2\n all := a1*b1 + a2*b2 + a1*d*b2"
# two levels
J <- 60; k <- rep(c(3, 5, 8), 20); id <- rep(1:J, k); N <- length(id)
tl <- data.frame(unit = id)
X2 <- round(rnorm(J), 2); uX <- rnorm(J); uM <- .6 * uX + .4 * X2 + rnorm(J, 0, .7); uY <- .5 * uM + .2 * uX + rnorm(J, 0, .7)
tl$x2 <- X2[id]
eX <- rnorm(N); eM <- .3 * eX + rnorm(N); eY <- .4 * eM - .2 * eX + rnorm(N)
tl$x <- round(uX[id] + eX, 3); tl$m <- round(uM[id] + eM, 3); tl$y <- round(uY[id] + eY, 3)
lev111 <- "level: 1\n m ~ aw*x\n y ~ bw*m + cw*x\nlevel: 2\n m ~ ab*x\n y ~ bb*m + cb*x\n iw := aw*bw\n ib := ab*bb"
lev211 <- "level: 1\n y ~ bw*m\n m ~~ m\nlevel: 2\n m ~ ab*x2\n y ~ bb*m + cb*x2\n ib := ab*bb"
write_reference(list(
  data = d, levels = tl,
  single = of(single, d), parallel = of(parallel, d), serial = of(serial, d),
  one_one_one = of(lev111, tl, cluster = "unit", fixed.x = FALSE),
  two_one_one = of(lev211, tl, cluster = "unit")
), c("lavaan"))
