# Dyads: the actor-partner interdependence model (gls, lme) and the reciprocal one-with-many model
# (lme), by nlme with tightened control, on simulated dyads that are written beside the results.
source("common.R")
suppressPackageStartupMessages(library(nlme))
set.seed(20)
tight_gls <- glsControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13)
tight <- lmeControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13, niterEM = 100,
                    returnObject = TRUE, msMaxEval = 5000)

# 60 couples under 12 therapists; a quarter of one role's ratings missing in x or y
n <- 60
x1 <- rnorm(n); x2 <- 0.4 * x1 + rnorm(n)
common <- rnorm(n); u <- rnorm(12, 0, 0.5)[rep(1:12, each = 5)]
wide <- data.frame(dyad = 1:n, therapist = rep(1:12, each = 5), x1, x2,
                   y1 = 4 + 0.5 * x1 + 0.2 * x2 + u + 0.5 * common + rnorm(n, 0, 0.6),
                   y2 = 4.3 + 0.3 * x2 + 0.35 * x1 + u + 0.5 * common + rnorm(n, 0, 1.0))
wide$y1[c(3, 17)] <- NA; wide$x2[9] <- NA; wide$y2[40] <- NA
long <- rbind(data.frame(dyad = wide$dyad, therapist = wide$therapist, role = "mother", y = wide$y1,
                         x = wide$x1, partner = wide$x2),
              data.frame(dyad = wide$dyad, therapist = wide$therapist, role = "father", y = wide$y2,
                         x = wide$x2, partner = wide$x1))
used <- na.omit(long)
used$role <- factor(used$role, levels = c("father", "mother"))

apart <- y ~ 0 + role + role:x + role:partner
# order of our columns: role by role, mean then actor then partner
ours <- c("rolefather", "rolefather:x", "rolefather:partner", "rolemother", "rolemother:x", "rolemother:partner")
gls_fit <- function(method) gls(apart, used, correlation = corCompSymm(form = ~ 1 | dyad),
                                weights = varIdent(form = ~ 1 | role), method = method, control = tight_gls)
plain_fit <- function(method) gls(y ~ x + partner, used, correlation = corCompSymm(form = ~ 1 | dyad),
                                  method = method, control = tight_gls)
random_fit <- lme(apart, used, random = ~ 1 | therapist, correlation = corCompSymm(form = ~ 1 | therapist/dyad),
                  weights = varIdent(form = ~ 1 | role), control = tight)
describe <- function(fit, order = NULL) {
  estimate <- if (inherits(fit, "gls")) coef(fit) else fixef(fit)
  se <- sqrt(diag(vcov(fit)))
  if (!is.null(order)) { estimate <- estimate[order]; se <- se[order] }
  ratio <- fit$modelStruct$varStruct
  list(estimate = unname(estimate), std_error = unname(se), log_lik = as.numeric(logLik(fit)), sigma = fit$sigma,
       relative_sd = if (is.null(ratio)) NULL else as.list(coef(ratio, unconstrained = FALSE, allCoef = TRUE)),
       correlation = as.numeric(coef(fit$modelStruct$corStruct, unconstrained = FALSE)))
}
lr <- anova(plain_fit("ML"), gls_fit("ML"))

# 25 therapists with 2 to 6 clients who rate each other
sizes <- sample(2:6, 25, replace = TRUE); therapist <- rep(1:25, sizes); m <- length(therapist)
tb <- matrix(rnorm(50), 25) %*% chol(matrix(c(0.3, 0.12, 0.12, 0.4), 2))
eb <- matrix(rnorm(2 * m), m) %*% chol(matrix(c(1, 0.3, 0.3, 0.6), 2))
many <- data.frame(therapist, client = 1:m, by_client = 5 + tb[therapist, 1] + eb[, 1],
                   by_therapist = 4.5 + tb[therapist, 2] + eb[, 2])
many$by_client[c(2, 11)] <- NA; many$by_therapist[20] <- NA
stacked <- rbind(data.frame(therapist, client = 1:m, source = "client", position = 1, rating = many$by_client),
                 data.frame(therapist, client = 1:m, source = "therapist", position = 2, rating = many$by_therapist))
stacked <- na.omit(stacked)
stacked$cr <- as.numeric(stacked$source == "client"); stacked$tr <- as.numeric(stacked$source == "therapist")
one <- lme(rating ~ 0 + cr + tr, stacked, random = ~ 0 + cr + tr | therapist,
           correlation = corCompSymm(form = ~ 1 | therapist/client), weights = varIdent(form = ~ 1 | source), control = tight)
between <- as.matrix(getVarCov(one))
sds <- one$sigma * coef(one$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)[c("client", "therapist")]

write_reference(list(
  couples = long, apim = describe(gls_fit("REML"), ours), indistinguishable = describe(plain_fit("REML")),
  with_therapist = c(describe(random_fit, ours), list(sd_therapist = as.numeric(VarCorr(random_fit)["(Intercept)", "StdDev"]))),
  distinguishability = list(statistic = lr$L.Ratio[2], p_value = lr[["p-value"]][2], df = diff(lr$df)),
  many = many,
  one_with_many = list(log_lik = as.numeric(logLik(one)), mean = unname(fixef(one)), std_error = unname(sqrt(diag(vcov(one)))),
                       between = c(between[1, 1], between[2, 2]), sd_dyad = unname(sds),
                       generalized = between[1, 2] / sqrt(between[1, 1] * between[2, 2]),
                       dyadic = as.numeric(coef(one$modelStruct$corStruct, unconstrained = FALSE)))
), packages = "nlme")
