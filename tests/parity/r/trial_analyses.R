# The two real trials as the analyses read them, by lme4/lmerTest, survival and base R.
# BtheB comes from HSAUR3, whose months (2, 3, 5, 8) are the corrected ones; scores are HSAUR's.
source("common.R")
suppressPackageStartupMessages({
  library(lmerTest)
  library(survival)
})

data("BtheB", package = "HSAUR3")
BtheB$patient <- seq_len(nrow(BtheB))
months <- c(2, 3, 5, 8)
long <- do.call(rbind, lapply(months, function(m) {
  data.frame(BtheB[c("patient", "drug", "length", "treatment", "bdi.pre")],
             month_to_end = m - 8, bdi = BtheB[[paste0("bdi.", m, "m")]])
}))
tight <- lmerControl(optimizer = "nloptwrap",
                     optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 1e5))
fit <- lmer(bdi ~ bdi.pre + month_to_end * treatment + drug + length + (1 | patient),
            data = long, REML = TRUE, control = tight)
fixed <- summary(fit)$coefficients

scores <- as.matrix(BtheB[c("bdi.pre", paste0("bdi.", months, "m"))])
last <- apply(!is.na(scores), 1, function(seen) max(which(seen)))
missed <- c(months, 8)[last]
left <- as.integer(last < 5)
curve <- survfit(Surv(missed, left) ~ treatment, data = BtheB)
test <- survdiff(Surv(missed, left) ~ treatment, data = BtheB)

data("anorexia", package = "MASS")
anorexia$change <- anorexia$Postwt - anorexia$Prewt
against <- function(arm) {
  pair <- droplevels(anorexia[anorexia$Treat %in% c(arm, "Cont"), ])
  pair$Treat <- factor(pair$Treat, levels = c(arm, "Cont"))
  welch <- t.test(change ~ Treat, data = pair)
  g <- effectsize::hedges_g(change ~ Treat, data = pair)
  ancova <- lm(Postwt ~ Prewt + relevel(Treat, "Cont"), data = pair)
  list(difference = unname(welch$estimate[1] - welch$estimate[2]),
       conf = as.numeric(welch$conf.int), p = welch$p.value, df = unname(welch$parameter),
       g = g$Hedges_g, g_conf = c(g$CI_low, g$CI_high),
       adjusted = unname(coef(ancova)[3]), adjusted_conf = unname(confint(ancova)[3, ]))
}

write_reference(list(
  blues_model = list(
    term = rownames(fixed), estimate = unname(fixed[, "Estimate"]),
    std_error = unname(fixed[, "Std. Error"]), df = unname(fixed[, "df"]),
    sd_patient = as.data.frame(VarCorr(fit))$sdcor[1], sigma = sigma(fit), nobs = nobs(fit)),
  blues_dropout = list(
    time = curve$time, survival = curve$surv, n_risk = curve$n.risk, n_event = curve$n.event,
    strata = names(curve$strata), strata_length = unname(curve$strata), chisq = test$chisq),
  anorexia = list(FT = against("FT"), CBT = against("CBT"))
), packages = c("lme4", "lmerTest", "survival", "HSAUR3", "MASS", "effectsize"))
