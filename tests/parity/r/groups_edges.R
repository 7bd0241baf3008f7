source("common.R")
suppressPackageStartupMessages({library(vcd); library(MASS)})

# many groups, few cases: tables that a careless enumeration never gets through
set.seed(14)
ones <- rbinom(8, 10, c(.2, .3, .4, .5, .5, .6, .6, .7)); eight <- rbind(ones, 10 - ones)
unequal <- rbind(c(1, 4, 6, 2, 9, 3), c(9, 7, 5, 10, 4, 6))
three <- matrix(c(3, 1, 4, 5, 2, 2, 1, 4, 3, 0, 5, 1), 3)
exact <- function(t) fisher.test(t, workspace = 2e8)$p.value

# large 2 x 2 tables: the conditional odds ratio with its exact interval, and p
large <- function(a, n1, b, n2) { f <- fisher.test(matrix(c(a, n1 - a, b, n2 - b), 2))
  list(a = a, n_1 = n1, b = b, n_2 = n2, p = f$p.value, odds = unname(f$estimate), low = f$conf.int[1], high = f$conf.int[2]) }

# two coders, five declared categories of which one was not used
a <- c(1, 1, 2, 2, 3, 3, 5, 5, 2, 1, 3, 5); b <- c(1, 2, 2, 3, 3, 2, 5, 3, 2, 1, 3, 5)
tab <- table(factor(a, 1:5), factor(b, 1:5))
kappa_of <- function(w) { k <- Kappa(tab, weights = w)$Weighted; list(estimate = unname(k[["value"]]), std_error = unname(k[["ASE"]])) }

# standardised difference of k categories by its definition, whichever category is left out
smd <- function(x, g) { p <- prop.table(table(g, x), 1)[, -1, drop = FALSE]
  S <- Reduce(`+`, lapply(1:2, function(i) diag(p[i, ], ncol(p)) - p[i, ] %o% p[i, ])) / 2
  d <- p[1, ] - p[2, ]; sqrt(drop(d %*% ginv(S) %*% d)) }
x4 <- rep(c("A", "B", "C", "D"), c(37, 22, 30, 11)); g4 <- rep(c("s", "u"), length.out = 100)
x3 <- c(rep(c("A", "B", "C"), c(20, 15, 15)), rep(c("A", "B"), c(30, 20))); g3 <- rep(0:1, each = 50)

# Hageman & Arrindell's two indices, written out
pre <- c(31, 28, 35, 40, 26, 33, 38, 29, 36, 42, 27, 34, 30, 39, 25, 37, 32, 41, 24, 43)
post <- c(22, 27, 20, 31, 18, 30, 24, 12, 35, 28, 14, 21, 25, 33, 11, 19, 23, 44, 16, 26)
r <- .88; cut <- 25; E <- sd(pre) * sqrt(1 - r); r2 <- 1 - E^2 / var(post)
rd <- (var(pre) + var(post) - 2 * E^2 - 2 * cov(pre, post)) / (var(pre) + var(post) - 2 * cov(pre, post))
rc <- ((post - pre) * rd + (mean(post) - mean(pre)) * (1 - rd)) / (sqrt(rd) * sqrt(2) * E)
cs <- (mean(post) + (post - mean(post)) * r2 - cut) / (sqrt(r2) * E)
words <- ifelse(rc < -1.65, ifelse(pre > cut & cs < -1.65, "recovered", "improved"), ifelse(rc > 1.65, "deteriorated", "unchanged"))

write_reference(list(
  tables = list(list(t = eight, p = exact(eight)), list(t = unequal, p = exact(unequal)), list(t = three, p = exact(three))),
  large = list(large(170, 565, 203, 565), large(2, 800, 19, 900), large(62100, 200000, 62900, 200000)),
  coders = list(a = a, b = b, linear = kappa_of("Equal-Spacing"), quadratic = kappa_of("Fleiss-Cohen")),
  smd = list(four = list(x = x4, g = g4, smd = smd(x4, g4)), three = list(x = x3, g = g3, smd = smd(x3, g3))),
  change = list(pre = pre, post = post, reliability = r, cut = cut, words = words)
), packages = c("vcd", "MASS"))
