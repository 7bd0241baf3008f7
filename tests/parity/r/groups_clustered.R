source("common.R")
suppressPackageStartupMessages({library(clubSandwich); library(lme4); library(lmerTest); library(pbkrtest); library(BayesFactor); library(emmeans)})

set.seed(20)
make <- function(crossed) {
  m <- 14; size <- sample(2:5, m, replace = TRUE); cl <- rep(seq_len(m), size)
  g <- if (crossed) sample(c("a", "b"), length(cl), replace = TRUE) else rep(c("a", "b"), c(6, 8))[cl]
  base <- round(rnorm(length(cl), 4, 1), 2)
  y <- round(4 + 0.7 * (g == "a") + 0.4 * base + rnorm(m, 0, 0.8)[cl] + rnorm(length(cl)), 3)
  data.frame(y = y, g = g, cl = cl, base = base, z = as.numeric(y > 6))
}
nested <- make(FALSE); crossed <- make(TRUE)

cr2 <- function(formula, d) {
  fit <- lm(formula, d); ct <- coef_test(fit, vcov = "CR2", cluster = d$cl, test = "Satterthwaite")
  ci <- conf_int(fit, vcov = "CR2", cluster = d$cl, test = "Satterthwaite")
  i <- which(rownames(ct) == "ga")
  list(estimate = ct$beta[i], std_error = ct$SE[i], df = ct$df[i], p_value = ct$p_Satt[i], conf_low = ci$CI_L[i], conf_high = ci$CI_U[i])
}
kr <- function(formula, d) {
  fit <- lmer(formula, d, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10)))
  s <- coef(summary(fit, ddf = "Kenward-Roger"))["ga", ]
  list(estimate = s[["Estimate"]], std_error = s[["Std. Error"]], df = s[["df"]], p_value = s[["Pr(>|t|)"]])
}
first <- function(d) { d$g <- relevel(factor(d$g), "b"); d }

# Hedges (2007) by explicit matrices, and the ANOVA intraclass correlation from aov
cluster_g <- function(d, icc = NULL) {
  if (is.null(icc)) {
    a <- anova(lm(y ~ g + factor(cl), d))      # sequential: clusters within groups
    msb <- a["factor(cl)", "Mean Sq"]; msw <- a["Residuals", "Mean Sq"]
    sizes <- tapply(d$cl, d$cl, length); grp <- tapply(d$g, d$cl, function(x) as.character(x)[1])
    N <- nrow(d); M <- length(sizes); Ng <- tapply(sizes, grp, sum)
    n0 <- (N - sum(tapply(sizes^2, grp, sum) / Ng)) / (M - 2)
    icc <- max(0, (msb - msw) / (msb + (n0 - 1) * msw))
  }
  X <- model.matrix(~ 0 + factor(g), d); N <- nrow(d)
  M <- diag(N) - X %*% solve(crossprod(X)) %*% t(X)
  V <- (1 - icc) * diag(N) + icc * outer(d$cl, d$cl, "==")
  tr <- sum(diag(M %*% V)); tr2 <- sum(diag(M %*% V %*% M %*% V)); h <- tr^2 / tr2
  S <- sqrt(drop(t(d$y) %*% M %*% d$y) / tr); means <- tapply(d$y, d$g, mean)
  w <- ifelse(d$g == "a", 1 / sum(d$g == "a"), -1 / sum(d$g == "b"))
  dd <- (means[["a"]] - means[["b"]]) / S
  J <- exp(lgamma(h / 2) - lgamma((h - 1) / 2) - log(h / 2) / 2)
  se <- J * sqrt(drop(t(w) %*% V %*% w) + dd^2 / (2 * h))
  df <- length(unique(d$cl)) - 2
  list(icc = icc, estimate = J * dd, std_error = se, conf_low = J * dd - qt(0.975, df) * se, conf_high = J * dd + qt(0.975, df) * se)
}

# a mixed model's difference in SDs of its total variance; information by dense matrices (Searle, Casella & McCulloch 1992, 6.6)
model_g <- function(formula, d, raw = formula) {
  tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10))
  fit <- lmer(formula, d, control = tight); s <- coef(summary(fit, ddf = "Kenward-Roger"))["ga", ]
  v <- as.data.frame(VarCorr(lmer(raw, d, control = tight)))$vcov
  X <- model.matrix(~ g, d); B <- outer(d$cl, d$cl, "=="); I <- diag(nrow(d))
  Vi <- solve(v[1] * B + v[2] * I); P <- Vi - Vi %*% X %*% solve(t(X) %*% Vi %*% X) %*% t(X) %*% Vi
  parts <- list(B, I); info <- matrix(0, 2, 2)
  for (i in 1:2) for (j in 1:2) info[i, j] <- sum(diag(P %*% parts[[i]] %*% P %*% parts[[j]])) / 2
  h <- 2 * sum(v)^2 / sum(solve(info)); J <- exp(lgamma(h / 2) - lgamma((h - 1) / 2) - log(h / 2) / 2)
  dd <- s[["Estimate"]] / sqrt(sum(v)); se <- J * sqrt(s[["Std. Error"]]^2 / sum(v) + dd^2 / (2 * h)); half <- qt(0.975, s[["df"]]) * se
  list(d = dd, h = h, icc = v[1] / sum(v), hedges_g = J * dd, hedges_g_low = J * dd - half, hedges_g_high = J * dd + half)
}
# Hedges (2007), equation 15 for equal clusters: both roads to d must meet
balanced <- nested[ave(nested$cl, nested$cl, FUN = seq_along) <= 2, ]
balanced$y <- round(balanced$y + c(1.5, -1.5, 0.8, -0.6, 1.1, -1.3, 0.9, -1.2, 1.6, -0.7, 0.3, -1.4, 1.2, -0.5)[balanced$cl], 3)   # a variance between clusters above 0
hedges_2007 <- function(d, n) {
  a <- anova(lm(y ~ g + factor(cl), d)); msb <- a["factor(cl)", "Mean Sq"]; msw <- a["Residuals", "Mean Sq"]
  icc <- (msb - msw) / (msb + (n - 1) * msw); N <- nrow(d); m <- tapply(d$y, d$g, mean)
  s <- sqrt(sum((d$y - m[d$g])^2) / (N - 2))
  list(icc = icc, d = (m[["a"]] - m[["b"]]) / s * sqrt(1 - 2 * (n - 1) * icc / (N - 2)))
}

two_levels <- transform(nested, top = (cl - 1) %/% 2)   # the group lies in the inner clusters
two_levels$g <- c("a", "b")[1 + (two_levels$cl %% 2)]
two_levels$y <- round(two_levels$y + c(0.9, -0.6, 0.2, 1.1, -0.8, 0.4, -0.3)[1 + two_levels$top], 3)
three <- transform(nested, g = c("a", "b", "c")[1 + (cl %% 3)])
fit3 <- lmer(y ~ g + (1 | cl), three, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10)))
f3 <- anova(fit3, ddf = "Kenward-Roger")
emm_options(lmer.df = "kenward-roger")
pairs3 <- as.data.frame(summary(pairs(emmeans(fit3, "g"), adjust = "none"), infer = TRUE))

data(anorexia, package = "MASS")
adj <- pairs(emmeans(lm(Postwt ~ Treat + Prewt, anorexia), "Treat"))
adj_s <- as.data.frame(summary(adj, infer = TRUE))

bf <- function(t, n1, n2 = 0, r) exp(ttest.tstat(t, n1, n2, rscale = r)$bf)

write_reference(list(
  nested = as.list(nested), crossed = as.list(crossed),
  cr2_nested = cr2(y ~ g, first(nested)), cr2_crossed = cr2(y ~ g, first(crossed)), cr2_baseline = cr2(y ~ g + base, first(nested)),
  cr2_binary = cr2(z ~ g, first(nested)),
  kr_nested = kr(y ~ g + (1 | cl), first(nested)), kr_crossed = kr(y ~ g + (1 | cl), first(crossed)), kr_baseline = kr(y ~ g + base + (1 | cl), first(nested)),
  balanced = as.list(balanced), hedges_2007 = hedges_2007(balanced, 2), model_g_balanced = model_g(y ~ g + (1 | cl), first(balanced)),
  model_g_nested = model_g(y ~ g + (1 | cl), first(nested)), model_g_crossed = model_g(y ~ g + (1 | cl), first(crossed)),
  model_g_baseline = model_g(y ~ g + base + (1 | cl), first(nested), y ~ g + (1 | cl)),
  g = cluster_g(nested), g_known = cluster_g(nested, 0.25),
  two_levels = as.list(two_levels), kr_two_levels = kr(y ~ g + (1 | top / cl), first(two_levels)),
  three = as.list(three), kr_three = list(statistic = f3[["F value"]], df1 = f3[["NumDF"]], df2 = f3[["DenDF"]], p_value = f3[["Pr(>F)"]]),
  kr_pairs = as.list(pairs3[, c("contrast", "estimate", "SE", "df", "lower.CL", "upper.CL", "p.value")]),
  adjusted_pairs = as.list(adj_s[, c("contrast", "estimate", "SE", "df", "lower.CL", "upper.CL", "p.value")]),
  bayes = list(list(t = 2.1, n_1 = 6, n_2 = 7, r = sqrt(0.5), bf = bf(2.1, 6, 7, sqrt(0.5))),
               list(t = 0.3, n_1 = 40, n_2 = 30, r = 1, bf = bf(0.3, 40, 30, 1)),
               list(t = -4.062127683382, n_1 = 10, n_2 = 10, paired = TRUE, r = sqrt(0.5), bf = bf(-4.062127683382, 10, 0, sqrt(0.5))))
), packages = c("clubSandwich", "lme4", "lmerTest", "pbkrtest", "BayesFactor", "emmeans"))
