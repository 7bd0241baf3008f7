# Slopes compared within levels of a moderator (emmeans' emtrends with by), visits missing and arms
# of unequal size, ids with spaces.
source("common.R")
suppressPackageStartupMessages({library(lmerTest); library(emmeans)})
emm_options(lmerTest.limit = 1e5, pbkrtest.limit = 1e5)
set.seed(78)
P <- 70
arm <- sample(c("cbt", "tau", "wait list"), P, TRUE, c(.5, .3, .2)); sex <- sample(c("f", "m"), P, TRUE)
d <- do.call(rbind, lapply(1:P, function(i) {
  v <- sort(sample(0:4, sample(2:5, 1)))
  data.frame(person = paste("p", i), arm = arm[i], sex = sex[i], visit = v)
}))
i <- as.integer(factor(d$person, levels = paste("p", 1:P)))
d$y <- round(5 + .3 * d$visit * (d$arm == "cbt") + rnorm(P)[i] + rnorm(P, 0, .3)[i] * d$visit + rnorm(nrow(d)), 4)
m <- lmer(y ~ arm * visit * sex + (1 + visit | person), d,
          control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6)))
tables <- list()
for (ddf in c("satterthwaite", "kenward-roger")) for (adjust in c("holm", "none", "bonferroni")) {
  slopes <- emtrends(m, ~ arm | sex, var = "visit", lmer.df = ddf)
  for (family in c("pairwise", "trt.vs.ctrl", "consec")) {
    t <- as.data.frame(summary(contrast(slopes, family, adjust = adjust), infer = c(TRUE, TRUE)))
    tables[[length(tables) + 1]] <- list(ddf = ddf, adjust = adjust, family = family, sex = as.character(t$sex),
      estimate = t$estimate, std_error = t$SE, df = t$df, conf_low = t$lower.CL, conf_high = t$upper.CL, p_value = t$p.value)
  }
}
write_reference(list(data = as.list(d), tables = tables), packages = c("lme4", "lmerTest", "pbkrtest", "emmeans"))
