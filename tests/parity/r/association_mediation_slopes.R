# Random slopes of a 1-1-1 mediation (stacked model of nlme, and its joint information by brute
# force), moderated 2-1-1 and 2-2-1 mediation by lavaan, and the data of a published example.
source("common.R")
suppressPackageStartupMessages({library(nlme); library(lavaan)})
set.seed(5)
J <- 30; k <- rep(c(5, 8, 12), 10); id <- rep(1:J, k); N <- length(id)
S <- matrix(c(.20, .12, .12, .18), 2); U <- matrix(rnorm(2 * J), J) %*% chol(S)
uM <- .5 * rnorm(J); uY <- .4 * uM + .5 * rnorm(J); uX <- .6 * rnorm(J)
w <- round(rnorm(J), 2)
x <- round(uX[id] + rnorm(N), 3)
m <- round(uM[id] + (.4 + .2 * w[id] + U[id, 1]) * x + rnorm(N), 3)
y <- round(uY[id] + (.5 + U[id, 2]) * m + .2 * x + 1.3 * rnorm(N), 3)
d <- data.frame(unit = paste("T", id), x = x, m = m, y = y, w = w[id])
mean_of <- function(v) ave(v, d$unit)
xw <- d$x - mean_of(d$x); xb <- mean_of(d$x); mw <- d$m - mean_of(d$m)
zero <- rep(0, N); one <- rep(1, N)
s <- data.frame(unit = rep(d$unit, 2), which = rep(c("m", "y"), each = N), z = c(d$m, d$y),
  M = c(one, zero), Y = c(zero, one), a = c(xw, zero), b = c(zero, mw), cc = c(zero, xw),
  Mx = c(xb, zero), Yx = c(zero, xb), Mw = c(d$w, zero), Yw = c(zero, d$w), aw = c(xw * d$w, zero))
control <- lmeControl(msMaxIter = 500, maxIter = 200, msMaxEval = 2000, opt = "optim", returnObject = TRUE)
stacked <- function(fixed) {
  f <- lme(fixed, s, random = ~ 0 + M + Y + a + b | unit, weights = varIdent(form = ~ 1 | which),
           method = "ML", control = control)
  D <- unclass(getVarCov(f)); attributes(D) <- list(dim = dim(D))
  v <- coef(f$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)
  sds <- f$sigma * v[c("m", "y")]
  # joint information by brute force, dense matrices
  X <- model.matrix(fixed, s); Z <- as.matrix(s[, c("M", "Y", "a", "b")])
  units <- split(seq_len(nrow(s)), s$unit)
  low <- lower.tri(diag(4), diag = TRUE)
  deviance <- function(p) {
    beta <- p[seq_len(ncol(X))]; L <- matrix(0, 4, 4); L[low] <- p[ncol(X) + 1:10]
    D <- L %*% t(L); R <- ifelse(s$which == "m", exp(p[length(p) - 1]), exp(p[length(p)]))
    sum(sapply(units, function(i) {
      V <- Z[i, ] %*% D %*% t(Z[i, ]) + diag(R[i]); r <- s$z[i] - X[i, ] %*% beta
      as.numeric(determinant(V)$modulus + t(r) %*% solve(V, r))
    }))
  }
  p <- c(fixef(f), t(chol(D))[low], log(sds^2))
  step <- rep(1e-4, length(p))
  polished <- nlm(deviance, p, gradtol = 1e-9, steptol = 1e-12, iterlim = 200)$estimate
  H <- optimHess(polished, deviance, control = list(ndeps = step)) / 2
  V <- solve(H)
  of <- function(p) {
    L <- matrix(0, 4, 4); L[low] <- p[ncol(X) + 1:10]
    c(p[match(c("a", "b", "cc"), colnames(X))], (L %*% t(L))[4, 3],
      if ("aw" %in% colnames(X)) p[match("aw", colnames(X))])
  }
  G <- sapply(seq_along(p), function(i) {h <- 1e-5 * (seq_along(p) == i); (of(polished + h) - of(polished - h)) / 2e-5})
  names <- c("a", "b", "c", "cov", if ("aw" %in% colnames(X)) "aw")
  list(names = names, estimate = of(polished), se = sqrt(diag(G %*% V %*% t(G))), nlme = of(p),
       log_lik = as.numeric(logLik(f)), sd_a = sqrt(D[3, 3]), sd_b = sqrt(D[4, 4]))
}
plain <- stacked(z ~ 0 + M + Y + a + b + cc + Mx + Yx)
moderated <- stacked(z ~ 0 + M + Y + a + b + cc + Mx + Yx + Mw + Yw + aw)
# moderated between units: 2-1-1 (a and c), 2-2-1 (a)
set.seed(9)
J <- 80; k <- rep(c(3, 5, 8, 4), 20); id <- rep(1:J, k); N <- length(id)
x2 <- round(rnorm(J), 2); w2 <- rep(0:1, J / 2)
uM <- (.4 + .3 * w2) * x2 + .2 * w2 + rnorm(J, 0, .7); uY <- .5 * uM + .2 * x2 + rnorm(J, 0, .6)
m2 <- round((.3 + .2 * w2) * x2 + rnorm(J), 3)
eM <- rnorm(N)
l <- data.frame(unit = id, x = x2[id], w = w2[id], xw = (x2 * w2)[id], m2 = m2[id])
l$m <- round(uM[id] + eM, 3); l$y <- round(uY[id] + .4 * m2[id] + .3 * eM + rnorm(N), 3)
of <- function(model) {
  f <- sem(model, l, cluster = "unit")
  p <- parameterEstimates(f); p <- p[p$op %in% c("~", ":="), ]
  list(lhs = p$lhs, op = p$op, rhs = p$rhs, level = p$level, estimate = p$est, se = p$se)
}
lev211 <- "level: 1\n y ~ bw*m\n m ~~ m\nlevel: 2\n m ~ a*x + w + aw*xw\n y ~ b*m + c*x + w + cw*xw\n at0 := a*b\n at1 := (a+aw)*b\n index := aw*b"
lev221 <- "level: 1\n y ~~ y\nlevel: 2\n m2 ~ a*x + w + aw*xw\n y ~ b*m2 + c*x + w\n at0 := a*b\n at1 := (a+aw)*b\n index := aw*b"
# Preacher & Hayes 2004, doi:10.3758/BF03206553, from the help page of psych::mediate: satisfaction,
# therapy, attributional positivity; lm(attrib ~ therapy), lm(satis ~ therapy + attrib)
sobel <- list(
  satis = c(-.59, 1.3, .02, .01, .79, -.35, -.03, 1.75, -.8, -1.2, -1.27, .7, -1.59, .68, -.39, 1.33,
            -1.59, 1.34, .1, .05, .66, .56, .85, .88, .14, -.72, .84, -1.13, -.13, .2),
  therapy = c(0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0),
  attrib = c(-1.17, .04, .58, -.23, .62, -.26, -.28, .52, .34, -.09, -1.09, 1.05, -1.84, -.95, .15, .07,
             -.1, 2.35, .75, .49, .67, 1.21, .31, 1.97, -.94, .11, -.54, -.23, .05, -1.07))
write_reference(list(slopes = d, plain = plain, moderated = moderated, levels = l,
                     two_one_one = of(lev211), two_two_one = of(lev221), sobel = sobel), c("nlme", "lavaan"))
