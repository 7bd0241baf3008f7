# Regression: lm, glm, sandwich's HC3, clubSandwich's CR2 (t by Satterthwaite), car's vif and
# Anova, steps by anova(), standardised coefficients, partial and semipartial correlations.
source("common.R")
suppressPackageStartupMessages({library(sandwich); library(clubSandwich); library(car); library(MASS)})
set.seed(11)
n <- 120
d <- data.frame(alliance = round(rnorm(n, 5), 2), experience = round(rexp(n, .2), 1),
                role = rep(c("mother", "father", "child"), length.out = n),
                therapist = rep(paste0("T", 1:12), times = c(3, 5, 8, 10, 12, 14, 9, 7, 16, 18, 11, 7)),
                stringsAsFactors = FALSE)
d$symptoms <- round(40 - 2 * d$alliance + .3 * d$experience + 2 * (d$role == "child") + rnorm(n, 0, 4), 2)
d$left <- rbinom(n, 1, plogis(1.5 - .4 * d$alliance + .1 * d$experience))
d$missed <- rpois(n, exp(.8 - .2 * d$alliance + .05 * d$experience))
d$w <- round(runif(n, .5, 2), 2)
d$step <- cut(d$symptoms, c(-Inf, 28, 32, 36, Inf), labels = FALSE)
d$role <- factor(d$role)
of <- function(m, precision = NULL) {
  s <- summary(m)$coefficients
  # weights of precision are inverse variances: the working covariance is theirs
  v <- if (is.null(precision)) vcovCR(m, d$therapist, "CR2")
       else vcovCR(m, d$therapist, "CR2", target = 1 / precision, inverse_var = TRUE)
  cr <- coef_test(m, vcov = v, test = "Satterthwaite")
  list(terms = rownames(s), estimate = unname(s[, 1]), se = unname(s[, 2]), p = unname(s[, 4]),
       hc3 = unname(sqrt(diag(vcovHC(m, type = "HC3")))), cr2 = cr$SE, cr2_df = cr$df_Satt, cr2_p = cr$p_Satt,
       log_lik = as.numeric(logLik(m)), aic = AIC(m), bic = BIC(m))
}
m1 <- lm(symptoms ~ alliance * experience + role, d)
mw <- lm(symptoms ~ alliance + experience, d, weights = w)
g1 <- glm(left ~ alliance + experience + role, binomial, d, control = glm.control(epsilon = 1e-14))
p1 <- glm(missed ~ alliance + experience, poisson, d, control = glm.control(epsilon = 1e-14))
s0 <- lm(symptoms ~ experience, d); s1 <- lm(symptoms ~ experience + alliance, d); s2 <- lm(symptoms ~ experience + alliance + role, d)
st <- anova(s0, s1, s2)
g0 <- glm(left ~ experience, binomial, d); gs <- anova(g0, g1, test = "Chisq")
num <- lm(symptoms ~ alliance + experience, d)
pr <- sapply(c("alliance", "experience"), function(v) {
  o <- setdiff(c("alliance", "experience"), v)
  rx <- resid(lm(reformulate(o, v), d)); ry <- resid(lm(reformulate(o, "symptoms"), d))
  c(partial = cor(rx, ry), semi = cor(rx, d$symptoms))
})
std <- coef(lm(scale(symptoms) ~ scale(alliance) + scale(experience), d))[-1]
sm <- summary(m1)
v <- car::vif(lm(symptoms ~ alliance + experience + role, d))
po <- polr(factor(step) ~ alliance + role, d, Hess = TRUE, control = list(reltol = 1e-14, maxit = 1000))
# joint tests with CR2: approximate Hotelling, with and without weights, linear and logistic
htz <- function(m, which, precision = NULL) {
  v <- if (is.null(precision)) vcovCR(m, d$therapist, "CR2")
       else vcovCR(m, d$therapist, "CR2", target = 1 / precision, inverse_var = TRUE)
  w <- Wald_test(m, constrain_zero(which), vcov = v, test = "HTZ")
  list(f = w$Fstat, df1 = w$df_num, df2 = w$df_denom, p = w$p_val)
}
latent <- as.data.frame(emmeans::emmeans(po, "role", mode = "latent"))
# rates: counts of visits over some weeks each, and yes or no, with a known part
set.seed(17)
e <- data.frame(x = round(rnorm(90), 3), weeks = sample(1:30, 90, TRUE), arm = rep(c("a", "b"), 45))
e$log_weeks <- log(e$weeks)
e$visits <- rpois(90, exp(-1 + 0.3 * e$x + 0.4 * (e$arm == "b") + e$log_weeks))
e$known <- round(rnorm(90, 0.5), 3)
e$came <- rbinom(90, 1, plogis(0.4 * e$x + e$known))
rates <- function(m) {
  p <- predict(m, data.frame(x = c(0, 1), arm = c("a", "b"), log_weeks = log(c(10, 2)), known = c(1, -1)),
               se.fit = TRUE)
  cf <- coef(summary(m))
  list(estimate = unname(cf[, 1]), se = unname(cf[, 2]), log_lik = as.numeric(logLik(m)),
       null = as.numeric(logLik(update(m, . ~ 1 + offset(off)))), eta = unname(p$fit), eta_se = unname(p$se.fit),
       hc3 = unname(sqrt(diag(vcovHC(m, "HC3")))))
}
e$off <- e$log_weeks
rate_p <- rates(glm(visits ~ x + arm + offset(log_weeks), poisson, e, control = list(epsilon = 1e-14)))
e$off <- e$known
rate_b <- rates(glm(came ~ x + arm + offset(known), binomial, e, control = list(epsilon = 1e-14)))
write_reference(list(
  rates = e[c("x", "weeks", "arm", "log_weeks", "visits", "known", "came")], rate_poisson = rate_p, rate_logistic = rate_b,
  joint = list(linear = htz(m1, 4:5), linear_three = htz(m1, c(2, 3, 6)), weighted = htz(mw, 2:3, d$w), logistic = htz(g1, 4:5)),
  latent = list(role = as.character(latent$role), mean = latent$emmean, se = latent$SE),
  data = transform(d, role = as.character(role)),
  linear = of(m1), weighted = of(mw, d$w), logistic = of(g1), poisson = of(p1),
  linear_fit = list(r2 = sm$r.squared, adj = sm$adj.r.squared, f = unname(sm$fstatistic[1]), df1 = unname(sm$fstatistic[2]), df2 = unname(sm$fstatistic[3]), sigma = sm$sigma),
  steps = list(r2 = c(summary(s0)$r.squared, summary(s1)$r.squared, summary(s2)$r.squared), f = c(anova(s0, s1)$F[2], anova(s1, s2)$F[2]),
               p = c(anova(s0, s1)$`Pr(>F)`[2], anova(s1, s2)$`Pr(>F)`[2])),
  logistic_steps = list(chi2 = gs$Deviance[2], df = gs$Df[2], p = gs$`Pr(>Chi)`[2]),
  partial = unname(pr["partial", ]), semi = unname(pr["semi", ]), standardised = unname(std),
  vif = list(term = rownames(v), gvif = unname(v[, 1]), df = unname(v[, 2])),
  cooks = unname(cooks.distance(num)), hat = unname(hatvalues(num)), rstudent = unname(rstudent(num)),
  ordinal = list(terms = names(coef(po)), estimate = unname(coef(po)), thresholds = unname(po$zeta), se = unname(sqrt(diag(vcov(po)))), log_lik = as.numeric(logLik(po)))
), c("sandwich", "clubSandwich", "car", "MASS", "emmeans"))
