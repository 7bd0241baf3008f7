# Closed-form relations between printed numbers: each over its range, in base R and psych.
source("common.R")
suppressPackageStartupMessages({library(psych); library(metafor)})

tests <- list(
  t = expand.grid(t = c(-4.2, -0.3, 0.7, 1.96, 12), df = c(1, 2.5, 17, 400)),
  z = data.frame(z = c(-3.1, -0.2, 1.96, 5)),
  f = expand.grid(f = c(0.2, 1.7, 9), df1 = c(1, 4), df2 = c(3, 43.2, 300)),
  chi2 = expand.grid(chi2 = c(0.1, 4.08, 30), df = c(1, 5, 22)))
tests$t$two <- with(tests$t, 2 * pt(-abs(t), df))
tests$t$one <- with(tests$t, pt(-abs(t), df))
tests$z$two <- with(tests$z, 2 * pnorm(-abs(z)))
tests$f$p <- with(tests$f, pf(f, df1, df2, lower.tail = FALSE))
tests$chi2$p <- with(tests$chi2, pchisq(chi2, df, lower.tail = FALSE))

# a sample with exactly the correlation r: cor.test gives t, p and the interval
exactly <- function(r, n) {
  x <- as.numeric(scale(sin(seq_len(n)) + seq_len(n)))
  e <- residuals(lm(cos(3 * seq_len(n)) ~ x)); e <- e / sqrt(mean(e^2))
  list(x = x / sqrt(mean(x^2)), y = r * x / sqrt(mean(x^2)) + sqrt(1 - r^2) * e)
}
correlations <- expand.grid(r = c(-.8, -.1, .25, .6, .97), n = c(5, 22, 300))
correlations <- cbind(correlations, t(mapply(function(r, n) {
  s <- exactly(r, n); ct <- cor.test(s$x, s$y)
  c(t = unname(ct$statistic), p = ct$p.value, low = ct$conf.int[1], high = ct$conf.int[2])
}, correlations$r, correlations$n)))

two_r <- expand.grid(r1 = c(-.4, .315), r2 = c(-.168, .8), n1 = c(15, 50), n2 = c(8, 90))
# psych gives the size of z; its own p is 1 - pnorm, which loses the far tail
two_r$z <- with(two_r, sign(r1 - r2)) *
  mapply(function(r1, r2, n1, n2) abs(r.test(n = n1, r12 = r1, r34 = r2, n2 = n2)$z),
         two_r$r1, two_r$r2, two_r$n1, two_r$n2)
two_r$p <- 2 * pnorm(-abs(two_r$z))
dependent <- expand.grid(r12 = c(.15, .5), r13 = c(.1, .6), r23 = c(.3, .7), n = c(12, 80))
dependent <- cbind(dependent, t(mapply(function(r12, r13, r23, n) {
  d <- r.test(n = n, r12 = r12, r13 = r13, r23 = r23); c(t = d$t, p = d$p)
}, dependent$r12, dependent$r13, dependent$r23, dependent$n)))

four <- expand.grid(r12 = c(-.1, .4), r34 = c(.2, .6), r13 = .3, r14 = c(.05, .35), r23 = .15,
                    r24 = .4, n = c(20, 150))
four$z <- with(four, sign(r12 - r34)) * mapply(function(r12, r34, r13, r14, r23, r24, n)
  abs(r.test(n = n, r12 = r12, r34 = r34, r13 = r13, r14 = r14, r23 = r23, r24 = r24)$z),
  four$r12, four$r34, four$r13, four$r14, four$r23, four$r24, four$n)
four$p <- 2 * pnorm(-abs(four$z))

# samples with exactly the mean and SD
sample_of <- function(m, s, n) m + s * as.numeric(scale(sin(7 * seq_len(n)) + seq_len(n)))
means <- expand.grid(mean1 = c(5.25, -1), sd1 = c(.82, 3), mean2 = 4.4, sd2 = c(.6, 2.5),
                     n1 = c(6, 40), n2 = c(7, 25))
means <- cbind(means, t(mapply(function(m1, s1, m2, s2, n1, n2) {
  x <- sample_of(m1, s1, n1); y <- sample_of(m2, s2, n2)
  w <- t.test(x, y); p <- t.test(x, y, var.equal = TRUE)
  g <- escalc("SMD", m1i = m1, sd1i = s1, n1i = n1, m2i = m2, sd2i = s2, n2i = n2)
  d <- (m1 - m2) / sqrt(((n1 - 1) * s1^2 + (n2 - 1) * s2^2) / (n1 + n2 - 2))
  c(welch = unname(w$statistic), welch_df = unname(w$parameter), welch_p = w$p.value,
    pooled = unname(p$statistic), pooled_p = p$p.value, d = d, g = as.numeric(g$yi))
}, means$mean1, means$sd1, means$mean2, means$sd2, means$n1, means$n2)))

paired <- expand.grid(mean1 = 16.2, sd1 = c(9.4, 5), mean2 = 13.2, sd2 = 8.3,
                      r_paired = c(-.3, .5), n = c(8, 29))
paired <- cbind(paired, t(mapply(function(m1, s1, m2, s2, r, n) {
  s <- exactly(r, n); x <- m1 + s1 * as.numeric(scale(s$x)); y <- m2 + s2 * as.numeric(scale(s$y))
  p <- t.test(x, y, paired = TRUE); c(t = unname(p$statistic), p = p$p.value)
}, paired$mean1, paired$sd1, paired$mean2, paired$sd2, paired$r_paired, paired$n)))

conversions <- data.frame(r = c(-.7, .05, .278, .9))
conversions$d <- with(conversions, 2 * r / sqrt(1 - r^2))
conversions$odds_ratio <- exp(conversions$d * pi / sqrt(3))

tables <- data.frame(events1 = c(3, 13, 40), n1 = c(9, 40, 60), events2 = c(6, 27, 11), n2 = c(12, 50, 33))
tables <- cbind(tables, t(mapply(function(a, n1, c, n2) {
  m <- matrix(c(a, c, n1 - a, n2 - c), 2)
  c(odds_ratio = exp(as.numeric(escalc("OR", ai = a, n1i = n1, ci = c, n2i = n2)$yi)),
    chi2 = suppressWarnings(unname(chisq.test(m, correct = FALSE)$statistic)),
    yates = suppressWarnings(unname(chisq.test(m)$statistic)),
    chi2_p = suppressWarnings(chisq.test(m, correct = FALSE)$p.value),
    yates_p = suppressWarnings(chisq.test(m)$p.value), fisher_p = fisher.test(m)$p.value,
    ratio = 2 * sum(ifelse(m > 0, m * log(m / outer(rowSums(m), colSums(m)) * sum(m)), 0)))
}, tables$events1, tables$n1, tables$events2, tables$n2)))

shares <- data.frame(events = c(0, 3, 13, 40, 60), n = c(9, 40, 60, 90, 60))
shares <- cbind(shares, t(mapply(function(x, n) {
  exact <- binom.test(x, n)$conf.int
  wilson <- suppressWarnings(prop.test(x, n, correct = FALSE)$conf.int)
  c(exact_low = exact[1], exact_high = exact[2], wilson_low = wilson[1], wilson_high = wilson[2])
}, shares$events, shares$n)))

# both groups as one sample
totals <- means[c("mean1", "sd1", "mean2", "sd2", "n1", "n2")]
totals <- cbind(totals, t(mapply(function(m1, s1, m2, s2, n1, n2) {
  x <- c(sample_of(m1, s1, n1), sample_of(m2, s2, n2)); c(mean = mean(x), sd = sd(x))
}, totals$mean1, totals$sd1, totals$mean2, totals$sd2, totals$n1, totals$n2)))

one_mean <- expand.grid(mean = 5.25, sd = c(.82, 3), n = c(6, 40))
one_mean <- cbind(one_mean, t(mapply(function(m, s, n) {
  found <- t.test(sample_of(m, s, n))
  c(std_error = found$stderr, low = found$conf.int[1], high = found$conf.int[2])
}, one_mean$mean, one_mean$sd, one_mean$n)))

# Q and I squared of DerSimonian and Laird
heterogeneity <- do.call(rbind, lapply(c(.05, .3), function(spread) {
  y <- spread * sin(7 * (1:9)); v <- .01 + .004 * (1:9)
  found <- rma(y, v, method = "DL")
  data.frame(q = found$QE, k_studies = 9, i_squared = found$I2 / 100, p = found$QEp)
}))

greater <- data.frame(t = c(-1.86, .4, 2.2), df = 18)
greater$p <- pt(abs(greater$t), greater$df)

fit <- lm(mpg ~ wt + hp + qsec, mtcars)
f <- summary(fit)$fstatistic
regression <- list(r_squared = summary(fit)$r.squared, k = 3, n = nrow(mtcars), f = unname(f[1]),
                   p = unname(pf(f[1], f[2], f[3], lower.tail = FALSE)),
                   estimate = coef(fit), std_error = summary(fit)$coefficients[, 2], df = fit$df.residual,
                   t = summary(fit)$coefficients[, 3], p_value = summary(fit)$coefficients[, 4],
                   conf_low = confint(fit)[, 1], conf_high = confint(fit)[, 2])

write_reference(list(tests = tests, correlations = correlations, two_r = two_r,
                     dependent = dependent, four = four, means = means, paired = paired,
                     conversions = conversions, tables = tables, shares = shares, totals = totals,
                     one_mean = one_mean, heterogeneity = heterogeneity, greater = greater,
                     regression = regression),
                packages = c("psych", "metafor"))
