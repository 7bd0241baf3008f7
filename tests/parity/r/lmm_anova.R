# Types I, II and III of lmerTest, with Satterthwaite's and Kenward and Roger's df: a balanced trial
# with groups of unequal size (carData's OBrienKaiser), unbalanced cells, a covariate in
# interactions, an empty cell, and sum-to-zero coding, which changes none of them.
source("common.R")
suppressPackageStartupMessages({library(lmerTest); library(pbkrtest); library(carData)})
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6))

wide <- OBrienKaiser
wide$id <- factor(seq_len(nrow(wide)))
long <- reshape(wide, direction = "long", varying = grep("[.]", names(wide), value = TRUE), v.names = "y",
                timevar = "occasion", idvar = "id")
long$phase <- factor(c("pre", "post", "fup")[(long$occasion - 1) %/% 5 + 1], levels = c("pre", "post", "fup"))
long$hour <- (long$occasion - 1) %% 5 + 1

set.seed(4)
n <- 240
rough <- data.frame(person = factor(rep(1:40, each = 6)), role = sample(c("child", "father", "mother"), n, TRUE, c(.5, .2, .3)),
                    arm = rep(sample(c("a", "b"), 40, TRUE, c(.6, .4)), each = 6), x = rnorm(n), z = runif(n))
rough$y <- 0.4 * rough$x + 0.3 * (rough$role == "father") * (rough$arm == "b") + rnorm(40)[rough$person] + 0.8 * rnorm(40)[rough$person] * rough$x + rnorm(n)
crossed <- rough[sample(n, 200), ]
crossed$rater <- sample(paste("rater", 1:8), 200, TRUE)
crossed$y <- crossed$y + rnorm(8, 0, .8)[as.integer(factor(crossed$rater))]
holed <- subset(rough, !(role == "father" & arm == "b"))

cases <- list(
  list(name = "OBrienKaiser", d = long, f = y ~ treatment * gender * phase + (1 | id)),
  list(name = "OBrienKaiser treatment", d = long, f = y ~ treatment + (1 | id)),
  list(name = "unbalanced", d = rough, f = y ~ role * arm + x + (1 | person)),
  list(name = "covariate in interactions", d = rough, f = y ~ x * role * arm + z + (1 + x | person)),
  list(name = "crossed raters", d = crossed, f = y ~ role * x + arm + (1 | person) + (1 | rater)),
  list(name = "empty cell", d = holed, f = y ~ role * arm + x + (1 | person)),
  list(name = "no intercept", d = rough, f = y ~ 0 + role + arm:x + (1 | person)))

run <- function(case) {
  m <- suppressMessages(lmer(case$f, case$d, control = tight))
  tables <- list()
  for (ddf in c("Satterthwaite", "Kenward-Roger")) for (type in 1:3) {
    t <- suppressMessages(anova(m, type = type, ddf = ddf))
    tables[[length(tables) + 1]] <- list(ddf = ddf, kind = c("I", "II", "III")[type], term = rownames(t), f = t[["F value"]],
                                         df1 = t[["NumDF"]], df2 = t[["DenDF"]], p = t[["Pr(>F)"]])
  }
  used <- case$d[, all.vars(case$f)]
  for (name in names(used)) if (is.factor(used[[name]])) used[[name]] <- as.character(used[[name]])
  list(name = case$name, formula = paste(deparse(case$f), collapse = " "), data = as.list(used), tables = tables)
}
write_reference(list(cases = lapply(cases, run)), packages = c("lme4", "lmerTest", "pbkrtest", "carData"))
