# CR2 standard errors and Satterthwaite df of clubSandwich for nested lme4 models.
source("common.R")
suppressPackageStartupMessages({library(lme4); library(clubSandwich); library(nlme)})
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))
plain <- function(data) { data <- as.data.frame(data)
  for (column in names(data)) if (is.ordered(data[[column]])) data[[column]] <- factor(as.character(data[[column]]))
  data }
cases <- list(list("sleepstudy", "lme4", "Reaction ~ Days + (1 + Days | Subject)", "Subject"),
              list("Orthodont", "nlme", "distance ~ age * Sex + (1 | Subject)", "Subject"),
              list("Oats", "nlme", "yield ~ nitro + Variety + (1 | Block/Variety)", "Block"),
              list("BodyWeight", "nlme", "weight ~ Time * Diet + (1 + Time | Rat)", "Rat"))
describe <- function(case) {
  e <- new.env(); utils::data(list = case[[1]], package = case[[2]], envir = e)
  data <- plain(get(case[[1]], e))
  used <- intersect(names(data), all.vars(as.formula(case[[3]])))
  model <- lmer(as.formula(case[[3]]), data, control = tight)
  V <- vcovCR(model, cluster = data[[case[[4]]]], type = "CR2")
  test <- coef_test(model, V, test = "Satterthwaite")
  list(formula = case[[3]], cluster = case[[4]], estimate = unname(fixef(model)), std_error = test$SE,
       df = test$df_Satt, p_value = test$p_Satt,
       data = lapply(data[used], function(x) if (is.factor(x)) as.character(x) else as.vector(x)),
       levels = lapply(Filter(is.factor, data[used]), levels))
}
write_reference(list(cases = lapply(cases, describe)), packages = c("lme4", "clubSandwich"))
