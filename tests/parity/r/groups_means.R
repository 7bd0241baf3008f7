source("common.R")
suppressPackageStartupMessages({library(effectsize); library(emmeans)})
data(anorexia, package = "MASS")
two <- droplevels(subset(anorexia, Treat != "Cont"))

t_row <- function(h) list(estimate = unname(if (length(h$estimate) == 2) h$estimate[1] - h$estimate[2] else h$estimate),
  std_error = h$stderr, statistic = unname(h$statistic), df = unname(h$parameter),
  p_value = h$p.value, conf_low = h$conf.int[1], conf_high = h$conf.int[2])

# effectsize finds the noncentral limits with optim (good to some 1e-4); the same limits by root
tight_g <- function(x, y, level = 0.95, paired = FALSE) {
  if (paired) { d <- x - y; n <- length(d); df <- n - 1; root <- sqrt(1 / n); est <- mean(d) / sd(d)
  } else {
    df <- length(x) + length(y) - 2; root <- sqrt(1 / length(x) + 1 / length(y))
    s <- sqrt((sum((x - mean(x))^2) + sum((y - mean(y))^2)) / df); est <- (mean(x) - mean(y)) / s }
  t <- est / root
  limit <- function(p) uniroot(function(ncp) pt(t, df, ncp) - p, t + c(-30, 30), tol = 1e-13)$root
  J <- exp(lgamma(df / 2) - log(sqrt(df / 2)) - lgamma((df - 1) / 2))
  c(estimate = J * est, conf_low = J * root * limit(1 - (1 - level) / 2), conf_high = J * root * limit((1 - level) / 2))
}
g_row <- function(x, y, ...) {
  es <- as.data.frame(hedges_g(x, y, ...))
  list(effectsize = list(estimate = es$Hedges_g, conf_low = es$CI_low, conf_high = es$CI_high),
       tight = as.list(tight_g(x, y, ...)), tight90 = as.list(tight_g(x, y, level = 0.90, ...)))
}
x <- two$Postwt[two$Treat == "CBT"]; y <- two$Postwt[two$Treat == "FT"]
first <- sleep$extra[sleep$group == 1]; second <- sleep$extra[sleep$group == 2]

ancova2 <- lm(Postwt ~ Treat + Prewt, two)
co <- summary(ancova2)$coefficients["TreatFT", ]
ci <- confint(ancova2)["TreatFT", ]
emm <- as.data.frame(pairs(emmeans(ancova2, "Treat")))
ancova3 <- drop1(lm(Postwt ~ Treat + Prewt, anorexia), test = "F")["Treat", ]

ow <- oneway.test(Postwt ~ Treat, anorexia)
av <- summary(aov(Postwt ~ Treat, anorexia))[[1]]

gh <- function(values, group) {
  lev <- levels(group); out <- list()
  n <- tapply(values, group, length); m <- tapply(values, group, mean); v <- tapply(values, group, var)
  for (i in seq_along(lev)) for (j in seq_along(lev)) if (i < j) {
    se <- sqrt((v[i] / n[i] + v[j] / n[j]) / 2)
    df <- (v[i] / n[i] + v[j] / n[j])^2 / ((v[i] / n[i])^2 / (n[i] - 1) + (v[j] / n[j])^2 / (n[j] - 1))
    q <- abs(m[i] - m[j]) / se; crit <- qtukey(0.95, length(lev), df)
    out[[length(out) + 1]] <- data.frame(contrast = paste(lev[i], "-", lev[j]), estimate = m[i] - m[j], df = df,
      p_value = ptukey(q, length(lev), df, lower.tail = FALSE),
      conf_low = m[i] - m[j] - crit * se, conf_high = m[i] - m[j] + crit * se)
  }
  do.call(rbind, out)
}
tukey <- TukeyHSD(aov(Postwt ~ Treat, anorexia))$Treat   # later minus earlier level

tost <- function(x, y, margin) list(
  p_low = t.test(x, y, mu = -margin, alternative = "greater")$p.value,
  p_high = t.test(x, y, mu = margin, alternative = "less")$p.value,
  ci90 = t.test(x, y, conf.level = 0.90)$conf.int[1:2])

power_ncp <- function(n1, n2) uniroot(function(d) { nu <- n1 + n2 - 2; q <- qt(0.975, nu)
  pt(q, nu, d / sqrt(1 / n1 + 1 / n2), lower.tail = FALSE) + pt(-q, nu, d / sqrt(1 / n1 + 1 / n2)) - 0.8 },
  c(0.01, 10), tol = 1e-12)$root

write_reference(list(
  welch = t_row(t.test(x, y)), welch90 = t_row(t.test(x, y, conf.level = 0.90)),
  student = t_row(t.test(x, y, var.equal = TRUE)),
  paired = t_row(t.test(first, second, paired = TRUE)),
  g = g_row(x, y), g_paired = g_row(first, second, paired = TRUE),
  d = as.data.frame(cohens_d(x, y)),
  ancova_two = list(estimate = -co[[1]], std_error = co[[2]], statistic = -co[[3]], df = ancova2$df.residual, p_value = co[[4]],
                conf_low = -ci[[2]], conf_high = -ci[[1]], emmeans = emm$estimate),
  ancova_three = list(statistic = ancova3[["F value"]], df1 = ancova3$Df, df2 = 72 - 4, p_value = ancova3[["Pr(>F)"]]),
  welch_anova = list(statistic = unname(ow$statistic), df1 = unname(ow$parameter[1]), df2 = unname(ow$parameter[2]), p_value = ow$p.value),
  anova = list(statistic = av[1, "F value"], df1 = av[1, "Df"], df2 = av[2, "Df"], p_value = av[1, "Pr(>F)"]),
  games_howell = gh(anorexia$Postwt, anorexia$Treat),
  tukey = data.frame(contrast = rownames(tukey), estimate = tukey[, "diff"], conf_low = tukey[, "lwr"], conf_high = tukey[, "upr"], p_value = tukey[, "p adj"]),
  tost = tost(x, y, 6), tost_narrow = tost(x, y, 1),
  p_adjust = list(p = c(0.01, 0.04, 0.03, 0.5, 0.0001), holm = p.adjust(c(0.01, 0.04, 0.03, 0.5, 0.0001), "holm"), fdr = p.adjust(c(0.01, 0.04, 0.03, 0.5, 0.0001), "BH")),
  detectable = list(n6_7 = power_ncp(6, 7), n20_20 = power_ncp(20, 20), n29_17 = power_ncp(29, 17), r_20_20 = power.t.test(n = 20, power = 0.8, strict = TRUE, tol = 1e-12)$delta)
), packages = c("effectsize", "emmeans"))
