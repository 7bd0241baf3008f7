# Correlations: base R's cor.test, correlations of residuals, psych's tests of differences.
source("common.R")
suppressPackageStartupMessages(library(psych))
set.seed(3)
n <- 60
d <- data.frame(a = round(rnorm(n), 2))
d$b <- round(.5 * d$a + rnorm(n), 2)
d$c <- round(.3 * d$a - .4 * d$b + rnorm(n), 2)
d$e <- round(rnorm(n) + .2 * d$c, 1)
d$g <- rep(c("x", "y"), length.out = n)
pairs <- list(c("a", "b"), c("a", "c"), c("b", "c"), c("a", "e"))
one <- function(p, m) {
  t <- suppressWarnings(cor.test(d[[p[1]]], d[[p[2]]], method = m, exact = FALSE))
  list(pair = p, method = m, r = unname(t$estimate), p = t$p.value, statistic = unname(t$statistic),
       low = if (m == "pearson") t$conf.int[1] else NULL, high = if (m == "pearson") t$conf.int[2] else NULL)
}
partial <- function(p, m) {
  x <- if (m == "spearman") as.data.frame(lapply(d[c("a", "b", "c", "e")], rank)) else d
  u <- resid(lm(reformulate("e", p[1]), x)); v <- resid(lm(reformulate("e", p[2]), x))
  r <- cor(u, v); df <- n - 3; t <- r * sqrt(df / (1 - r^2))
  list(pair = p, method = m, r = r, t = t, p = 2 * pt(-abs(t), df))
}
R <- cor(d[c("a", "b", "c", "e")])
ga <- d[d$g == "x", ]; gb <- d[d$g == "y", ]
ind <- r.test(n = 30, r12 = cor(ga$a, ga$b), r34 = cor(gb$a, gb$b), n2 = 30)
far <- r.test(n = n, r12 = R["a", "b"], r34 = R["c", "e"], r13 = R["a", "c"], r14 = R["a", "e"],
              r23 = R["b", "c"], r24 = R["b", "e"])
inside <- lm(c ~ b + factor(h), transform(d, h = rep(1:12, each = 5)))
tt <- summary(inside)$coefficients["b", ]
write_reference(list(
  data = d,
  plain = unlist(lapply(c("pearson", "spearman", "kendall"), function(m) lapply(pairs, one, m)), recursive = FALSE),
  partial = c(lapply(pairs[1:3], partial, "pearson"), lapply(pairs[1:3], partial, "spearman")),
  independent = list(z = ind$z, p = ind$p),
  far = list(z = far$z, p = far$p),
  within = list(t = unname(tt["t value"]), df = df.residual(inside), p = unname(tt["Pr(>|t|)"]))
), c("psych"))
