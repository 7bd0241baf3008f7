# Meta-analysis by metafor on four data sets of metadat, with tightened control.
source("common.R")
suppressPackageStartupMessages({library(metafor); library(metadat); library(clubSandwich)})
tight <- list(threshold = 1e-12, maxiter = 10000, tol = 1e-12)
level <- .95

escalced <- list(
  molloy2014 = escalc("ZCOR", ri = ri, ni = ni, data = dat.molloy2014),
  bcg = escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg),
  normand1999 = escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                       data = dat.normand1999))

one_fit <- function(fit) {
  p <- predict(fit, transf = NULL)
  list(coefficients = coef(fit), std_error = fit$se, statistic = fit$zval, p_value = fit$pval,
       conf_low = fit$ci.lb, conf_high = fit$ci.ub, df = if (is.na(fit$ddf[1])) NULL else fit$ddf,
       tau2 = fit$tau2, i_squared = fit$I2, h_squared = fit$H2, q = fit$QE, q_p = fit$QEp,
       qm = fit$QM, qm_p = fit$QMp, log_lik = as.numeric(logLik(fit)),
       aic = AIC(fit), bic = BIC(fit), r_squared = fit$R2,
       pi_low = if (fit$int.only) p$pi.lb else NULL, pi_high = if (fit$int.only) p$pi.ub else NULL)
}

fits <- function(d) {
  fit <- function(method, test, mods = NULL)
    one_fit(if (is.null(mods)) rma(yi, vi, data = d, method = method, test = test, control = tight)
            else rma(yi, vi, mods = mods, data = d, method = method, test = test, control = tight))
  out <- list(fixed = fit("FE", "z"))
  for (m in c("REML", "DL", "PM")) for (t in c("z", "knha", "adhoc")) out[[paste(m, t)]] <- fit(m, t)
  out
}

sensitivity <- function(d) {
  fit <- rma(yi, vi, data = d, method = "REML", test = "knha", control = tight)
  out <- as.data.frame(leave1out(fit))
  ci <- confint(fit, control = list(tol = 1e-14))$random
  egger_lm <- regtest(fit, model = "lm")
  egger_mixed <- regtest(rma(yi, vi, data = d, method = "REML", test = "z", control = tight), model = "rma")
  list(leave_one_out = out, tau2_low = ci["tau^2", "ci.lb"], tau2_high = ci["tau^2", "ci.ub"],
       i2_low = ci["I^2(%)", "ci.lb"], i2_high = ci["I^2(%)", "ci.ub"],
       egger = list(statistic = egger_lm$zval, df = egger_lm$dfs, p = egger_lm$pval,
                    limit = egger_lm$est, low = egger_lm$ci.lb, high = egger_lm$ci.ub),
       mixed = list(statistic = egger_mixed$zval, p = egger_mixed$pval,
                    limit = egger_mixed$est, low = egger_mixed$ci.lb, high = egger_mixed$ci.ub))
}

out <- lapply(escalced, function(d) list(
  data = data.frame(estimate = as.numeric(d$yi), variance = as.numeric(d$vi)),
  fits = fits(d), sensitivity = sensitivity(d)))

# moderators
bcg <- escalced$bcg
out$bcg$data$ablat <- bcg$ablat; out$bcg$data$alloc <- bcg$alloc; out$bcg$data$year <- bcg$year
regress <- function(f, method, test) one_fit(rma(yi, vi, mods = f, data = bcg, method = method, test = test, control = tight))
out$bcg$regression <- list(
  REML_knha = regress(~ ablat + year, "REML", "knha"), REML_z = regress(~ ablat + year, "REML", "z"),
  DL_z = regress(~ ablat + year, "DL", "z"), PM_z = regress(~ ablat + year, "PM", "z"),
  fixed = regress(~ ablat + year, "FE", "z"), factor = regress(~ alloc, "REML", "knha"))
out$molloy2014$data$n <- dat.molloy2014$ni; out$molloy2014$data$r <- dat.molloy2014$ri

# cluster-robust, two-level: bcg trials by their way of allocation
uni <- rma(yi, vi, data = bcg, method = "REML", control = tight)
robust_uni <- robust(uni, cluster = bcg$alloc, clubSandwich = TRUE)
# clubSandwich's working weights are those of the fit
out$bcg$robust <- list(std_error = robust_uni$se, statistic = robust_uni$zval, df = robust_uni$dfs,
                       p = robust_uni$pval, low = robust_uni$ci.lb, high = robust_uni$ci.ub)

# three levels: effects in studies
a <- dat.assink2016
tight_mv <- list(optimizer = "optim", optmethod = "Nelder-Mead", reltol = 1e-16, maxit = 10000)
three <- function(mods = ~ 1, test = "t") {
  fit <- rma.mv(yi, vi, mods = mods, random = ~ 1 | study/esid, data = a, test = test, control = tight_mv)
  p <- if (fit$int.only) predict(fit)
  X <- model.matrix(fit); W <- diag(1 / a$vi)
  P <- W - W %*% X %*% solve(t(X) %*% W %*% X) %*% t(X) %*% W
  typical <- (fit$k - fit$p) / sum(diag(P))
  cr <- coef_test(fit, vcov = "CR2", cluster = a$study)
  ci <- conf_int(fit, vcov = "CR2", cluster = a$study)
  list(coefficients = coef(fit), std_error = fit$se, statistic = fit$zval, p_value = fit$pval,
       conf_low = fit$ci.lb, conf_high = fit$ci.ub, sigma2 = fit$sigma2, log_lik = as.numeric(logLik(fit)),
       q = fit$QE, q_p = fit$QEp, qm = fit$QM, qm_p = fit$QMp,
       i2 = 100 * c(fit$sigma2, sum(fit$sigma2)) / (sum(fit$sigma2) + typical),
       pi_low = if (fit$int.only) p$pi.lb, pi_high = if (fit$int.only) p$pi.ub,
       cr_se = cr$SE, cr_t = cr$tstat, cr_df = cr$df_Satt, cr_p = cr$p_Satt, cr_low = ci$CI_L, cr_high = ci$CI_U)
}
out$assink2016 <- list(
  data = data.frame(study = a$study, estimate = a$yi, variance = a$vi, year = a$year, deltype = a$deltype),
  intercept = three(), year = three(~ year), deltype = three(~ deltype))

write_reference(out, packages = c("metafor", "metadat", "clubSandwich"))
