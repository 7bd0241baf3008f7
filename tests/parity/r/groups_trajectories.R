source("common.R")
suppressPackageStartupMessages({library(lme4); library(lmerTest); library(pbkrtest); library(emmeans); library(mvtnorm)})

set.seed(33)
persons <- 24; sessions <- 6
d <- expand.grid(session = 1:sessions, person = 1:persons)
d$group <- ifelse(d$person <= 11, "a", "b")
d$score <- round(4 + 0.15 * d$session + ifelse(d$group == "a", -0.2 + 0.25 * d$session, 0) +
  rnorm(persons, 0, 0.7)[d$person] + rnorm(persons, 0, 0.25)[d$person] * d$session + rnorm(nrow(d), 0, 0.5), 3)
d <- d[-sample(nrow(d), 20), ]
fit <- lmer(score ~ group * session + (1 + session | person), d,
            control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11)))
take <- function(method) {
  emm_options(lmer.df = method)
  slopes <- as.data.frame(summary(emtrends(fit, "group", var = "session"), infer = TRUE))
  slope_diff <- as.data.frame(summary(pairs(emtrends(fit, "group", var = "session")), infer = TRUE))
  at <- emmeans(fit, "group", at = list(session = 1:sessions), by = "session")
  diffs <- as.data.frame(summary(pairs(at), infer = TRUE, by = "session"))
  means <- as.data.frame(summary(at))
  # critical value of the maximum of correlated t over the six sessions, at the smallest df
  L <- cbind(0, -1, 0, -(1:sessions)); V <- as.matrix(if (method == "kenward-roger") vcovAdj(fit) else vcov(fit))
  R <- cov2cor(L %*% V %*% t(L))
  list(slopes = slopes[, c("session.trend", "SE", "df")], slope_diff = slope_diff[, c("estimate", "SE", "df", "p.value")],
       diffs = diffs[, c("session", "estimate", "SE", "df", "lower.CL", "upper.CL")], means = means[, c("group", "session", "emmean", "SE", "df")],
       df = min(diffs$df), correlation = R)
}
sat <- take("satterthwaite"); kr <- take("kenward-roger")
crit <- function(x) { set.seed(1); qmvt(0.95, tail = "both.tails", df = round(x$df), corr = x$correlation, algorithm = GenzBretz(maxpts = 2e6, abseps = 1e-7))$quantile }
sat$critical <- crit(sat); sat$critical_df <- round(sat$df)
write_reference(list(data = as.list(d[, c("session", "person", "group", "score")]), satterthwaite = sat, kenward = kr),
                packages = c("lme4", "lmerTest", "pbkrtest", "emmeans", "mvtnorm"))
