# Coefficients standardised at their own level: effectsize's "pseudo".
source("common.R")
suppressPackageStartupMessages({ library(lme4); library(effectsize) })
set.seed(3)
data <- data.frame(person = rep(1:40, each = 5))
data$between <- round(rnorm(40), 3)[data$person]
data$within <- rnorm(200); data$within <- data$within - ave(data$within, data$person)
data$y <- round(.5 * data$between + .3 * data$within + rnorm(40)[data$person] + rnorm(200), 3)
tight <- lmerControl(optCtrl = list(maxfun = 1e5, xtol_abs = 1e-10, ftol_abs = 1e-10))
model <- lmer(y ~ within + between + (1 | person), data, control = tight)
found <- as.data.frame(standardize_parameters(model, method = "pseudo"))
write_reference(list(data = as.list(data), term = found$Parameter, estimate = found$Std_Coefficient),
                packages = c("effectsize", "lme4"))
