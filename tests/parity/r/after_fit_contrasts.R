# Families of contrasts and adjustments of means and slopes: emmeans on lmer with Satterthwaite df.
source("common.R")
suppressPackageStartupMessages({ library(lme4); library(lmerTest); library(emmeans) })
emm_options(lmer.df = "satterthwaite")

set.seed(7)
data <- expand.grid(session = 1:4, person = 1:36)
data$arm <- c("control", "family", "single")[1 + data$person %% 3]
data$phase <- c("p1", "p2", "p3", "p4")[data$session]
data$y <- round(rnorm(36)[data$person] + .4 * data$session * (data$arm == "family") + rnorm(nrow(data)), 3)
data <- data[-c(3, 20, 21, 77, 90), ]
tight <- lmerControl(optCtrl = list(maxfun = 1e5, xtol_abs = 1e-10, ftol_abs = 1e-10))
cells <- lmer(y ~ arm * phase + (1 | person), data, control = tight)
lines <- lmer(y ~ arm * session + (1 | person), data, control = tight)

rows <- function(contrast, adjust, ...) {
  s <- as.data.frame(summary(contrast, adjust = adjust, infer = TRUE, ...))
  labels <- intersect(names(s), c("contrast", "arm_pairwise", "phase_poly", "phase_consec"))
  list(name = apply(s[labels], 1, paste, collapse = " | "), estimate = s$estimate, std_error = s$SE, df = s$df,
       p_value = s$p.value, conf_low = s$lower.CL, conf_high = s$upper.CL)
}
phase <- emmeans(cells, ~ phase); arm <- emmeans(cells, ~ arm)
arm_by_phase <- emmeans(cells, ~ arm * phase)
slopes <- emtrends(lines, ~ arm, var = "session")
write_reference(list(
  data = as.list(data),
  polynomial = rows(contrast(phase, "poly"), "none"),
  consecutive = rows(contrast(phase, "consec"), "none"),
  bonferroni = rows(contrast(phase, "pairwise"), "bonferroni"),
  sidak = rows(contrast(phase, "pairwise"), "sidak"),
  fdr = rows(contrast(phase, "pairwise"), "fdr"),
  dunnett = rows(contrast(arm, "trt.vs.ctrl", ref = 1), "mvt"),
  interaction = rows(contrast(arm_by_phase, interaction = c("pairwise", "poly")), "none"),
  interaction_consecutive = rows(contrast(arm_by_phase, interaction = c("pairwise", "consec")), "none"),
  slopes = rows(contrast(slopes, "pairwise"), "tukey"),
  slopes_holm = rows(contrast(slopes, "pairwise"), "holm")
), packages = c("emmeans", "lmerTest", "lme4"))
