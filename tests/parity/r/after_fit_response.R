# After a fit: R2 by performance, means of generalized models by emmeans, and comparisons on the
# response scale written out: counterfactual predictions, gradients by differences, normal limits.
source("common.R")
suppressPackageStartupMessages({library(lme4); library(emmeans); library(performance); library(mlmRev); library(nlme)})

tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
                     check.conv.grad = .makeCC("ignore", tol = 1, relTol = NULL),
                     check.conv.singular = .makeCC("ignore", tol = 1e-4),
                     check.conv.hess = .makeCC("ignore", tol = 1e-6))
tight_g <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e6), tolPwrss = 1e-11,
                        check.conv.grad = .makeCC("ignore", tol = 1, relTol = NULL))

exam <- as.data.frame(mlmRev::Exam)
contraception <- as.data.frame(mlmRev::Contraception)
contraception$y <- as.integer(contraception$use == "Y")

# -- R2 of linear mixed models -------------------------------------------------------------------
r2 <- function(package, name, data, f) {
  m <- lmer(as.formula(f), data, control = tight)
  r <- suppressWarnings(r2_nakagawa(m))
  list(package = package, name = name, formula = f, marginal = unname(r$R2_marginal), conditional = unname(r$R2_conditional))
}
linear <- list(
  r2("mlmRev", "Exam", exam, "normexam ~ standLRT + sex + (1 | school)"),
  r2("mlmRev", "Exam", exam, "normexam ~ standLRT * schavg + sex + (standLRT | school)"),
  r2("nlme", "Oats", as.data.frame(nlme::Oats), "yield ~ nitro + Variety + (1 | Block/Variety)"),
  r2("lme4", "sleepstudy", sleepstudy, "Reaction ~ Days + (Days | Subject)"))

# -- generalized models ----------------------------------------------------------------------------
table_of <- function(s) { s <- as.data.frame(s); num <- vapply(s, is.numeric, TRUE); s[!num] <- lapply(s[!num], as.character); s }
compare <- function(m, data, column, a, b, population) {
  at <- function(v) { d <- data; d[[column]] <- if (is.factor(data[[column]])) factor(v, levels(data[[column]])) else v; d }
  X <- lapply(list(a, b), function(v) model.matrix(delete.response(terms(m)), at(v)))
  sd <- sqrt(sum(unlist(lapply(VarCorr(m), function(v) v[1, 1]))))
  inverse <- family(m)$linkinv
  expect <- if (!population) inverse else function(eta)
    vapply(eta, function(e) integrate(function(u) inverse(e + sd * u) * dnorm(u), -9, 9, rel.tol = 1e-10)$value, 0)
  means <- function(beta) vapply(X, function(x) { e <- drop(x %*% beta); u <- unique(e); mean(expect(u)[match(e, u)]) }, 0)
  V <- as.matrix(vcov(m)); beta <- fixef(m)
  step <- 1e-4
  G <- vapply(seq_along(beta), function(j) { d <- replace(numeric(length(beta)), j, step)
    (means(beta + d) - means(beta - d)) / (2 * step) }, numeric(2))
  p <- means(beta)
  list(column = column, a = a, b = b, level = if (population) "population" else "typical", means = p,
       difference = p[2] - p[1], difference_se = sqrt(drop(t(G[2, ] - G[1, ]) %*% V %*% (G[2, ] - G[1, ]))),
       ratio = p[2] / p[1], log_ratio_se = { g <- G[2, ] / p[2] - G[1, ] / p[1]; sqrt(drop(t(g) %*% V %*% g)) })
}
formula <- "y ~ age * urban + livch + (1 | district)"
m <- glmer(as.formula(formula), contraception, binomial, control = tight_g)
e <- emmeans(m, "livch", by = "urban", at = list(age = 5))
set.seed(1)
small <- contraception[seq(1, nrow(contraception), by = 8), ]
ms <- glmer(as.formula(formula), small, binomial, control = tight_g)
logit <- list(formula = formula,
  link = table_of(summary(e, infer = c(TRUE, FALSE))),
  response = table_of(summary(e, type = "response", infer = c(TRUE, FALSE))),
  ratios = table_of(summary(pairs(e), type = "response", infer = c(TRUE, TRUE), adjust = "none")),
  slopes = table_of(summary(emtrends(m, "urban", var = "age"), infer = c(TRUE, TRUE))),
  marginal = unname(r2_nakagawa(m)$R2_marginal), conditional = unname(r2_nakagawa(m)$R2_conditional),
  small = seq(1, nrow(contraception), by = 8) - 1,
  comparisons = list(compare(ms, small, "livch", "0", "2", FALSE), compare(ms, small, "livch", "0", "2", TRUE),
                     compare(ms, small, "urban", "N", "Y", TRUE), compare(ms, small, "age", -5, 5, TRUE)))
write_reference(list(linear = linear, logit = logit), packages = c("lme4", "emmeans", "performance", "insight"))
