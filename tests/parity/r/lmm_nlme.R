# Residual structures: nlme's varIdent, corAR1 and corCAR1, in lme and gls, with tightened control.
source("common.R")
suppressPackageStartupMessages(library(nlme))

tight <- lmeControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13, niterEM = 100,
                    returnObject = TRUE, msMaxEval = 5000)
tight_gls <- glsControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13)

plain <- function(data) { data <- as.data.frame(data)
  for (column in names(data)) if (is.ordered(data[[column]])) data[[column]] <- factor(as.character(data[[column]]))
  data }
ortho <- plain(Orthodont); ovary <- plain(Ovary); rats <- plain(BodyWeight); machines <- plain(Machines)
ovary$s <- sin(2 * pi * ovary$Time); ovary$c <- cos(2 * pi * ovary$Time)
ovary$visit <- ave(ovary$Time, ovary$Mare, FUN = seq_along)
gappy <- ovary[ovary$visit %% 5 != 3, ]

fits <- list(
  list("orthodont-variance", ortho, "distance ~ age * Sex + (1 | Subject)", "VarianceBy:Sex",
       lme(distance ~ age * Sex, ortho, ~ 1 | Subject, weights = varIdent(form = ~ 1 | Sex), control = tight)),
  list("orthodont-variance-ml", ortho, "distance ~ age * Sex + (1 + age | Subject)", "VarianceBy:Sex",
       lme(distance ~ age * Sex, ortho, ~ 1 + age | Subject, weights = varIdent(form = ~ 1 | Sex), method = "ML", control = tight)),
  list("machines-variance", machines, "score ~ Machine + (1 | Worker)", "VarianceBy:Machine",
       lme(score ~ Machine, machines, ~ 1 | Worker, weights = varIdent(form = ~ 1 | Machine), control = tight)),
  list("ovary-ar1", ovary, "follicles ~ s + c + (1 | Mare)", "AR1:visit:Mare",
       lme(follicles ~ s + c, ovary, ~ 1 | Mare, correlation = corAR1(form = ~ visit | Mare), control = tight)),
  list("ovary-gaps-ar1", gappy, "follicles ~ s + c + (1 | Mare)", "AR1:visit:Mare",
       lme(follicles ~ s + c, gappy, ~ 1 | Mare, correlation = corAR1(form = ~ visit | Mare), method = "ML", control = tight)),
  list("ovary-car1", ovary, "follicles ~ s + c + (1 | Mare)", "CAR1:Time:Mare",
       lme(follicles ~ s + c, ovary, ~ 1 | Mare, correlation = corCAR1(form = ~ Time | Mare), control = tight)),
  list("rats-car1", rats, "weight ~ Time * Diet + (1 + Time | Rat)", "CAR1:Time:Rat",
       lme(weight ~ Time * Diet, rats, ~ 1 + Time | Rat, correlation = corCAR1(form = ~ Time | Rat), control = tight)),
  list("rats-both", rats, "weight ~ Time * Diet + (1 | Rat)", "VarianceBy:Diet CAR1:Time:Rat",
       lme(weight ~ Time * Diet, rats, ~ 1 | Rat, weights = varIdent(form = ~ 1 | Diet),
           correlation = corCAR1(form = ~ Time | Rat), control = tight)),
  # the same with an SD of rats of 0: where lme stops, the likelihood is lower
  list("rats-both-gls", rats, "weight ~ Time * Diet", "VarianceBy:Diet CAR1:Time:Rat",
       gls(weight ~ Time * Diet, rats, weights = varIdent(form = ~ 1 | Diet),
           correlation = corCAR1(0.8, form = ~ Time | Rat), control = tight_gls)),
  list("ovary-gls", ovary, "follicles ~ s + c", "AR1:visit:Mare",
       gls(follicles ~ s + c, ovary, correlation = corAR1(form = ~ visit | Mare), control = tight_gls)),
  list("orthodont-gls", ortho, "distance ~ age * Sex", "VarianceBy:Sex",
       gls(distance ~ age * Sex, ortho, weights = varIdent(form = ~ 1 | Sex), method = "ML", control = tight_gls))
)
describe <- function(fit) {
  model <- fit[[5]]; data <- fit[[2]]
  used <- intersect(names(data), all.vars(as.formula(sub("\\|", "+", gsub("[()]", "", fit[[3]])))))
  used <- union(used, intersect(names(data), unlist(strsplit(fit[[4]], "[: ]"))))
  v <- model$modelStruct$varStruct; correlation <- model$modelStruct$corStruct
  list(name = fit[[1]], formula = fit[[3]], structure = fit[[4]], reml = model$method == "REML",
       data = lapply(data[used], function(x) if (is.factor(x)) as.character(x) else as.vector(x)),
       levels = lapply(Filter(is.factor, data[used]), levels),
       log_lik = as.numeric(logLik(model)), sigma = model$sigma,
       estimate = unname(if (inherits(model, "gls")) coef(model) else fixef(model)),
       # under ML, vcov(gls) divides by n - p and vcov(lme) by n; ours is by n
       std_error = unname(sqrt(diag(vcov(model)))) *
         (if (inherits(model, "gls") && model$method == "ML") sqrt(1 - length(coef(model)) / nrow(data)) else 1),
       relative_sd = if (is.null(v)) NULL else as.list(coef(v, unconstrained = FALSE, allCoef = TRUE)),
       phi = if (is.null(correlation)) NULL else as.numeric(coef(correlation, unconstrained = FALSE)))
}
write_reference(list(fits = lapply(fits, describe)), packages = "nlme")
