# Correlation by visits and SDs that follow covariates: nlme's gls and lme, with tightened control.
source("common.R")
suppressPackageStartupMessages(library(nlme))

tight <- lmeControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13, niterEM = 100,
                    returnObject = TRUE, msMaxEval = 5000, opt = "optim")
tight_gls <- glsControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13)
ortho <- as.data.frame(Orthodont)
ortho$Subject <- factor(as.character(ortho$Subject))
ortho$visit <- (ortho$age - 6) / 2
gappy <- ortho[!(seq_len(nrow(ortho)) %% 11 %in% c(3, 7)), ]

set.seed(20)
n <- 14 * 7 * 3
trial <- data.frame(person = rep(1:98, each = 3), therapist = rep(1:14, each = 21), visit = rep(1:3, 98))
trial$arm <- (trial$person %% 2)
root <- chol(matrix(c(1, .5, .3, .5, 1.5, .8, .3, .8, 2), 3))
trial$y <- round(as.vector(t(matrix(rnorm(n), 98) %*% root)) + rnorm(14)[trial$therapist] + .3 * trial$visit * trial$arm, 3)
trial <- trial[-c(5, 17, 60, 61, 120, 200), ]

corsymm <- corSymm(form = ~ visit | Subject); by_visit <- varIdent(form = ~ 1 | visit)
fit <- function(name, data, formula, structure, model) list(name, data, formula, structure, model)
mean_of <- distance ~ age * Sex; text <- "distance ~ age * Sex"
fits <- list(
  fit("unstructured", ortho, text, "Unstructured:visit:Subject",
      gls(mean_of, ortho, corsymm, weights = by_visit, control = tight_gls)),
  fit("unstructured-gaps-ml", gappy, text, "Unstructured:visit:Subject",
      gls(mean_of, gappy, corsymm, weights = by_visit, method = "ML", control = tight_gls)),
  fit("common", gappy, text, "CompoundSymmetry:Subject",
      gls(mean_of, gappy, corCompSymm(form = ~ 1 | Subject), control = tight_gls)),
  fit("common-heterogeneous", gappy, text, "CompoundSymmetry:Subject VarianceBy:visit",
      gls(mean_of, gappy, corCompSymm(form = ~ 1 | Subject), weights = by_visit, control = tight_gls)),
  fit("toeplitz", gappy, text, "Toeplitz:visit:Subject",
      gls(mean_of, gappy, corARMA(form = ~ visit | Subject, p = 3), control = tight_gls)),
  fit("toeplitz-heterogeneous", ortho, text, "Toeplitz:visit:Subject VarianceBy:visit",
      gls(mean_of, ortho, corARMA(form = ~ visit | Subject, p = 3), weights = by_visit, control = tight_gls)),
  fit("power", ortho, paste(text, "+ (1 | Subject)"), "VariancePower:age",
      lme(mean_of, ortho, ~ 1 | Subject, weights = varPower(form = ~ age), control = tight)),
  fit("exponential", gappy, paste(text, "+ (1 | Subject)"), "VarianceExponential:age",
      lme(mean_of, gappy, ~ 1 | Subject, weights = varExp(form = ~ age), method = "ML", control = tight)),
  fit("strata-and-power", ortho, text, "VarianceBy:Sex VariancePower:age",
      gls(mean_of, ortho, weights = varComb(varIdent(form = ~ 1 | Sex), varPower(form = ~ age)), control = tight_gls)),
  fit("two-strata", ortho, text, "VarianceBy:Sex+visit",
      gls(mean_of, ortho, weights = varIdent(form = ~ 1 | Sex * visit), control = tight_gls)),
  fit("unstructured-in-therapists", trial, "y ~ visit * arm + (1 | therapist)", "Unstructured:visit:person",
      lme(y ~ visit * arm, trial, ~ 1 | therapist, correlation = corSymm(form = ~ visit | therapist/person),
          weights = by_visit, control = tight))
)
describe <- function(fit) {
  model <- fit[[5]]; data <- fit[[2]]; gls_ml <- inherits(model, "gls") && model$method == "ML"
  v <- model$modelStruct$varStruct; correlation <- model$modelStruct$corStruct
  if (!is.null(v) && inherits(v, "varComb")) v <- NULL
  largest <- if (is.null(correlation)) NULL else {
    all <- corMatrix(correlation); all[[which.max(sapply(all, nrow))]] }
  list(name = fit[[1]], formula = fit[[3]], structure = fit[[4]], reml = model$method == "REML",
       data = lapply(data, function(x) if (is.factor(x)) as.character(x) else as.vector(x)),
       log_lik = as.numeric(logLik(model)), sigma = model$sigma,
       estimate = unname(if (inherits(model, "gls")) coef(model) else fixef(model)),
       # under ML, vcov(gls) divides by n - p; ours is by n
       std_error = unname(sqrt(diag(vcov(model)))) * (if (gls_ml) sqrt(1 - length(coef(model)) / nrow(data)) else 1),
       spread = if (is.null(v)) NULL else as.list(coef(v, unconstrained = FALSE, allCoef = TRUE)),
       correlation = if (is.null(largest)) NULL else matrix(as.numeric(largest), nrow(largest)))
}
write_reference(list(fits = lapply(fits, describe)), packages = "nlme")
