source("common.R")
suppressPackageStartupMessages({library(psych); library(lme4); library(vcd)})

# two coders, five ordered categories
set.seed(5)
a <- sample(1:4, 60, replace = TRUE); b <- pmin(4, pmax(1, a + sample(c(0, 0, 0, 1, -1, 2), 60, replace = TRUE)))
k <- 4
linear <- 1 - abs(outer(1:k, 1:k, "-")) / (k - 1)
plain <- cohen.kappa(cbind(a, b)); lin <- cohen.kappa(cbind(a, b), w = linear)
# psych 2.2.9's error of weighted kappa is not that of the delta method; vcd's and statsmodels' is
tab <- table(factor(a, 1:k), factor(b, 1:k))
vcd_error <- function(w) Kappa(tab, weights = w)$Weighted[["ASE"]]
kappa_row <- function(kp, var) list(estimate = kp, std_error = sqrt(var))

# Fleiss' kappa written out (Fleiss 1971)
codes <- cbind(a, b, pmin(4, pmax(1, a + sample(c(0, 0, 0, -1), 60, replace = TRUE))))
counts <- t(apply(codes, 1, function(r) tabulate(r, k))); m <- ncol(codes)
P <- (rowSums(counts^2) - m) / (m * (m - 1)); pj <- colSums(counts) / sum(counts)
fleiss <- (mean(P) - sum(pj^2)) / (1 - sum(pj^2))

# Krippendorff's alpha of complete nominal data by its definition over all pairs
alpha <- function(r, delta) {
  pairs <- function(v) { v <- v[!is.na(v)]; if (length(v) < 2) return(c(0, 0)); o <- outer(v, v, delta); c(sum(o) / (length(v) - 1), length(v)) }
  parts <- t(apply(r, 1, pairs)); n <- sum(parts[, 2])
  all <- unlist(apply(r, 1, function(v) { v <- v[!is.na(v)]; if (length(v) < 2) NULL else v }))
  1 - (sum(parts[, 1]) / n) / (sum(outer(all, all, delta)) / (n * (n - 1)))
}
holes <- codes; holes[cbind(c(1, 5, 9, 9, 20), c(1, 2, 1, 3, 3))] <- NA

sf <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), ncol = 4, byrow = TRUE)
icc <- ICC(sf, lmer = FALSE)$results

long <- data.frame(rating = as.vector(sf), case = factor(rep(1:6, 4)), coder = factor(rep(1:4, each = 6)))
long <- long[-c(3, 11, 20), ]
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11))
one <- as.data.frame(VarCorr(lmer(rating ~ 1 + (1 | case), long, control = control)))
two <- as.data.frame(VarCorr(lmer(rating ~ 1 + (1 | case) + (1 | coder), long, control = control)))

# r x c tables
t23 <- matrix(c(3, 6, 1, 7, 1, 2), 2, byrow = TRUE); t34 <- matrix(c(4, 0, 1, 2, 1, 5, 2, 0, 0, 1, 6, 3), 3, byrow = TRUE)
t32 <- matrix(c(8, 2, 5, 5, 1, 9), 3, byrow = TRUE)

# standardised differences (Austin 2009; Yang & Dalton 2012)
smd_mean <- function(x, y) abs(mean(x) - mean(y)) / sqrt((var(x) + var(y)) / 2)
smd_cat <- function(p, q) { p <- p[-length(p)]; q <- q[-length(q)]
  S <- ((diag(p, length(p)) - p %o% p) + (diag(q, length(q)) - q %o% q)) / 2; sqrt(drop(t(p - q) %*% solve(S) %*% (p - q))) }
data(anorexia, package = "MASS")
x <- anorexia$Prewt[anorexia$Treat == "CBT"]; y <- anorexia$Prewt[anorexia$Treat == "FT"]

write_reference(list(
  a = a, b = b, kappa = kappa_row(plain$kappa, plain$var.kappa), quadratic = kappa_row(plain$weighted.kappa, vcd_error("Fleiss-Cohen")^2), linear = kappa_row(lin$weighted.kappa, vcd_error("Equal-Spacing")^2),
  third = codes[, 3], fleiss = fleiss,
  alpha = list(holes = list(a = holes[, 1], b = holes[, 2], c = holes[, 3]), nominal = alpha(holes, function(x, y) x != y), interval = alpha(holes, function(x, y) (x - y)^2)),
  sf = sf, icc = list(type = icc$type, estimate = icc$ICC, low = icc$`lower bound`, high = icc$`upper bound`),
  icc_missing = list(case_1 = one$vcov[1], error_1 = one$vcov[2], case = two$vcov[two$grp == "case"], coder = two$vcov[two$grp == "coder"], error = two$vcov[two$grp == "Residual"]),
  tables = list(list(t = t23, p = fisher.test(t23)$p.value), list(t = t34, p = fisher.test(t34)$p.value), list(t = t32, p = fisher.test(t32)$p.value)),
  smd = list(mean = smd_mean(x, y), categories = smd_cat(c(0.2, 0.5, 0.3), c(0.4, 0.4, 0.2)), binary = smd_cat(c(0.25, 0.75), c(0.4, 0.6)))
), packages = c("psych", "lme4", "vcd"))
