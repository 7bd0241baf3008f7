# Within-family spread by stratum (nlme::lme with a member variance and a residual variance a stratum)
# and the within-family intraclass correlation (psych::ICC), on simulated families written beside.
source("common.R")
suppressPackageStartupMessages({library(nlme); library(psych)})
set.seed(21)
tight <- lmeControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-11, msTol = 1e-13, niterEM = 100,
                    returnObject = TRUE, msMaxEval = 5000)
n <- 40; data <- expand.grid(session = 1:4, role = c("child", "mother", "partner"), family = 1:n)
data$role <- as.character(data$role); data$person <- paste(data$family, data$role, sep = "-")
data$framework <- ifelse(data$family %% 2 == 0, "usual", "trauma-informed")
sd_person <- ifelse(data$framework == "usual", 0.7, 0.4); sd_rating <- ifelse(data$framework == "usual", 0.5, 0.35)
b <- rnorm(n, 0, 0.5)[data$family]; p <- rnorm(3 * n)[as.integer(factor(data$person))]
data$y <- 4.5 + 0.05 * data$session + 0.3 * (data$role == "mother") + b + sd_person * p + sd_rating * rnorm(nrow(data))
data$y[c(5, 40, 77)] <- NA
used <- na.omit(data)
used$in1 <- as.numeric(used$framework == "trauma-informed"); used$in2 <- 1 - used$in1
fit <- function(free, method) if (free)
  lme(y ~ session + role * framework, used, random = list(family = ~ 1, person = pdDiag(~ 0 + in1 + in2)),
      weights = varIdent(form = ~ 1 | framework), method = method, control = tight) else
  lme(y ~ session + role * framework, used, random = list(family = ~ 1, person = ~ 1), method = method, control = tight)
free <- fit(TRUE, "REML"); equal <- fit(FALSE, "REML")
v <- VarCorr(free); sds <- suppressWarnings(as.numeric(v[, "StdDev"])); names(sds) <- rownames(v)
ratio <- coef(free$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)

one <- subset(data, session == 2 & role != "partner")
wide <- reshape(one[, c("family", "role", "y")], idvar = "family", timevar = "role", direction = "wide")
icc <- suppressWarnings(suppressMessages(ICC(na.omit(wide[, -1]), lmer = FALSE)))$results[1, ]
write_reference(list(
  data = as.list(data),
  free = list(log_lik = as.numeric(logLik(free)), estimate = unname(fixef(free)), std_error = unname(sqrt(diag(vcov(free)))),
              lasting = unname(sds[c("in1", "in2")]), sd_family = unname(sds["(Intercept)"]),
              momentary = unname(free$sigma * ratio[c("trauma-informed", "usual")])),
  statistic = 2 * as.numeric(logLik(free) - logLik(equal)),
  icc = list(estimate = icc[["ICC"]], conf_low = icc[["lower bound"]], conf_high = icc[["upper bound"]])
), packages = c("nlme", "psych"))
