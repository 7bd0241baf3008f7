source("common.R")
suppressPackageStartupMessages({library(coin)})

# ranks -------------------------------------------------------------------------------------------
no_ties <- list(x = c(1.1, 2.7, 3.2, 4.9, 6.05, 7.7), y = c(0.4, 2.2, 5.1, 8.8, 9.3, 10.1, 12.2))
ties <- list(x = c(1, 2, 2, 3, 5, 5), y = c(2, 3, 4, 5, 5, 6, 6))
two <- function(d) data.frame(v = c(d$x, d$y), g = factor(rep(c("a", "b"), c(length(d$x), length(d$y)))))
mw_exact <- function(d) list(x = d$x, y = d$y, U = sum(outer(d$x, d$y, ">") + 0.5 * outer(d$x, d$y, "==")),
  p_value = as.numeric(pvalue(wilcox_test(v ~ g, two(d), distribution = "exact"))))
set.seed(1)
big <- list(x = round(rnorm(40, 0.4), 1), y = round(rnorm(45), 1))
big_test <- wilcox.test(big$x, big$y, exact = FALSE, correct = TRUE)
three <- list(a = c(1, 3, 4, 4, 7), b = c(2, 5, 6, 9, 9), c = c(8, 9, 10, 11))
kw <- kruskal.test(three)

pairs_no <- list(x = c(5.1, 4.2, 6.6, 3.8, 7.1, 6.2, 5.0), y = c(4.0, 4.9, 5.1, 3.2, 5.1, 6.7, 2.1))
pairs_ties <- list(x = c(5, 4, 6, 3, 7, 6, 5, 4), y = c(4, 4, 4, 4, 5, 6, 2, 3))
w_no <- wilcox.test(pairs_no$x, pairs_no$y, paired = TRUE, exact = TRUE)
w_ties <- wilcoxsign_test(x ~ y, as.data.frame(pairs_ties), distribution = "exact", zero.method = "Wilcoxon")
set.seed(2)
pairs_big <- list(x = round(rnorm(80, 0.3), 2), y = round(rnorm(80), 2))
# differences of decimals that are equal must tie: digits.rank (R by default takes 4.1 - 4 for less than 1.1 - 1)
w_big <- wilcox.test(pairs_big$x, pairs_big$y, paired = TRUE, exact = FALSE, correct = TRUE, digits.rank = 9)
d_ties <- pairs_ties$x - pairs_ties$y

# permutation -------------------------------------------------------------------------------------
enumerate_p <- function(d) {
  v <- c(d$x, d$y); n1 <- length(d$x)
  s <- combn(length(v), n1, function(i) abs(mean(v[i]) - mean(v[-i])))
  obs <- abs(mean(d$x) - mean(d$y))
  list(p_value = mean(s >= obs - 1e-9), smallest = mean(s >= max(s) - 1e-9), coin = as.numeric(pvalue(oneway_test(v ~ g, two(d), distribution = "exact"))))
}
clusters <- data.frame(v = c(3, 4, 5, 6, 7, 2, 5, 8, 9, 9, 4, 6, 1, 2, 2, 6), cl = c(1, 1, 1, 2, 2, 3, 3, 4, 5, 5, 6, 6, 7, 7, 7, 8),
                       g = c(rep("a", 8), rep("b", 8)))
whole <- function(d) {
  ids <- unique(d$cl); first <- unique(d$cl[d$g == "a"])
  stat <- function(chosen) { i <- d$cl %in% chosen; abs(mean(d$v[i]) - mean(d$v[!i])) }
  s <- combn(ids, length(first), stat)
  list(p_value = mean(s >= stat(first) - 1e-9), smallest = mean(s >= max(s) - 1e-9))
}
flips <- function(d) { d <- d[d != 0]; n <- length(d)
  s <- apply(as.matrix(expand.grid(rep(list(c(-1, 1)), n))), 1, function(e) abs(sum(e * d)))
  mean(s >= abs(sum(d)) - 1e-9) }

# 2 x 2 tables ------------------------------------------------------------------------------------
tables <- list(c(5, 6, 1, 7), c(4, 4, 0, 4), c(3, 13, 9, 12), c(7, 15, 12, 20), c(10, 35, 24, 61), c(2, 5, 2, 9), c(0, 6, 3, 7))
or_tight <- function(a, n1, b, n2) {       # conditional likelihood by root, tight
  m <- n1; n <- n2; k <- a + b; lo <- max(0, k - n); hi <- min(k, m); support <- lo:hi
  logdc <- dhyper(support, m, n, k, log = TRUE)
  dn <- function(psi) { d <- logdc + log(psi) * support; d <- exp(d - max(d)); d / sum(d) }
  mean_at <- function(psi) sum(support * dn(psi))
  root <- function(f) exp(uniroot(function(l) f(exp(l)), c(-30, 30), tol = 1e-13)$root)
  est <- if (a == lo) 0 else if (a == hi) Inf else root(function(p) mean_at(p) - a)
  low <- if (a == lo) 0 else root(function(p) sum(dn(p)[support >= a]) - 0.025)
  high <- if (a == hi) Inf else root(function(p) sum(dn(p)[support <= a]) - 0.025)
  list(estimate = format(est, digits = 17), low = format(low, digits = 17), high = format(high, digits = 17))
}
boschloo <- function(a, n1, b, n2) {
  g <- expand.grid(x = 0:n1, y = 0:n2)
  f <- mapply(function(x, y) fisher.test(matrix(c(x, n1 - x, y, n2 - y), 2))$p.value, g$x, g$y)
  obs <- f[g$x == a & g$y == b]
  sup <- function(limit) { s <- g[f <= limit * (1 + 1e-7), ]
    at <- function(p) sum(dbinom(s$x, n1, p) * dbinom(s$y, n2, p))
    grid <- seq(0, 1, length.out = 20001); v <- vapply(grid, at, 0); i <- which.max(v)
    max(v[i], optimize(at, grid[pmax(pmin(c(i - 1, i + 1), 20001), 1)], maximum = TRUE, tol = 1e-12)$objective) }
  c(p = sup(obs), smallest = sup(min(f)))
}
table_row <- function(t) {
  m <- matrix(c(t[1], t[2] - t[1], t[3], t[4] - t[3]), 2)
  f <- fisher.test(m)
  k <- t[1] + t[3]; support <- max(0, k - t[4]):min(k, t[2])
  bo <- boschloo(t[1], t[2], t[3], t[4])
  list(table = t, fisher = f$p.value, mid = f$p.value - dhyper(t[1], t[2], t[4], k) / 2,
       smallest = min(vapply(support, function(s) fisher.test(matrix(c(s, t[2] - s, k - s, t[4] - k + s), 2))$p.value, 0)),
       fisher_or = format(unname(f$estimate), digits = 17), odds = or_tight(t[1], t[2], t[3], t[4]),
       boschloo = bo[["p"]], boschloo_smallest = bo[["smallest"]])
}
# Tango (1998): the restricted likelihood's root written out, not his closed form
tango <- function(b, c, n) {
  q_at <- function(D) { lo <- max(0, -D); hi <- (1 - D) / 2
    score <- function(q) b / (q + D) + c / q - 2 * (n - b - c) / (1 - 2 * q - D)
    uniroot(score, c(lo + 1e-12, hi - 1e-12), tol = 1e-15)$root }
  T <- function(D) { q <- q_at(D); (b - c - n * D) / sqrt(n * (2 * q + D * (1 - D))) }
  z <- qnorm(0.975); est <- (b - c) / n
  c(uniroot(function(D) T(D) - z, c(-0.999, est - 1e-9), tol = 1e-13)$root, uniroot(function(D) T(D) + z, c(est + 1e-9, 0.999), tol = 1e-13)$root)
}
tangos <- lapply(list(c(5, 2, 20), c(9, 1, 13), c(30, 41, 200)), function(k) list(k = k, ci = tango(k[1], k[2], k[3])))
# Newcombe (2006), method 5
newcombe5 <- function(x, y) {
  m <- length(x); n <- length(y); th <- mean(outer(x, y, ">") + 0.5 * outer(x, y, "==")); N <- (m + n) / 2 - 1; z <- qnorm(0.975)
  V <- function(t) t * (1 - t) * (1 + N * (1 - t) / (2 - t) + N * t / (1 + t)) / (m * n)
  c(th, uniroot(function(t) th - t - z * sqrt(V(t)), c(0, th), tol = 1e-14)$root, uniroot(function(t) t - th - z * sqrt(V(t)), c(th, 1), tol = 1e-14)$root)
}

discordant <- list(c(1, 8), c(5, 5), c(0, 6), c(12, 4))
clop <- lapply(list(c(0, 13), c(4, 13), c(13, 13), c(120, 400)), function(k) list(k = k, ci = binom.test(k[1], k[2])$conf.int[1:2], wilson = prop.test(k[1], k[2], correct = FALSE)$conf.int[1:2]))

write_reference(list(
  mann_whitney = list(no_ties = c(mw_exact(no_ties), list(wilcox = wilcox.test(no_ties$x, no_ties$y, exact = TRUE)$p.value)),
                      ties = mw_exact(ties),
                      big = list(x = big$x, y = big$y, U = unname(big_test$statistic), p_value = big_test$p.value)),
  kruskal = list(groups = three, statistic = unname(kw$statistic), df = unname(kw$parameter), p_value = kw$p.value),
  wilcoxon = list(no_ties = c(pairs_no, list(V = unname(w_no$statistic), p_value = w_no$p.value)),
                  ties = c(pairs_ties, list(p_value = as.numeric(pvalue(w_ties)))),
                  big = c(pairs_big, list(V = unname(w_big$statistic), p_value = w_big$p.value))),
  sign = list(p_value = binom.test(sum(d_ties > 0), sum(d_ties != 0))$p.value),
  permutation = list(no_ties = enumerate_p(no_ties), ties = enumerate_p(ties), flips = flips(pairs_no$x - pairs_no$y),
                     clusters = c(as.list(clusters), whole(clusters))),
  tables = lapply(tables, table_row),
  mcnemar = lapply(discordant, function(d) list(b = d[1], c = d[2], p_value = binom.test(d[1], sum(d))$p.value,
    mid = if (d[1] == d[2]) 1 - dbinom(d[1], sum(d), 0.5) / 2 else 2 * pbinom(min(d), sum(d), 0.5) - dbinom(d[1], sum(d), 0.5))),
  proportions = clop, tango = tangos, superiority = list(no_ties = newcombe5(no_ties$x, no_ties$y), ties = newcombe5(ties$x, ties$y), big = newcombe5(big$x, big$y))
), packages = c("coin"))
