# Analyses of variance: car's types II and III (univariate tests of a multivariate model, with
# epsilons and Mauchly's test), anova() for type I, effectsize's partial eta squared and interval.
source("common.R")
suppressPackageStartupMessages({library(car); library(effectsize)})
options(contrasts = c("contr.sum", "contr.poly"))
ok <- as.data.frame(carData::OBrienKaiser)
ok$age <- c(23, 31, 44, 52, 37, 29, 61, 45, 33, 38, 27, 50, 41, 36, 58, 47)
ok$age <- ok$age - mean(ok$age)  # as ours: effects within are those at the mean
ok$id <- seq_len(nrow(ok))
cells <- expand.grid(hour = factor(1:5), phase = factor(c("pre", "post", "fup"), levels = c("fup", "post", "pre")))
cells <- cells[, c("phase", "hour")]
Y <- as.matrix(ok[, 3:17])
long <- do.call(rbind, lapply(seq_len(15), function(j)
  data.frame(id = ok$id, treatment = as.character(ok$treatment), gender = as.character(ok$gender), age = ok$age,
             phase = sub("\\..*", "", colnames(Y)[j]), hour = as.integer(sub(".*\\.", "", colnames(Y)[j])), value = Y[, j])))
idata <- data.frame(phase = factor(sub("\\..*", "", colnames(Y))), hour = factor(sub(".*\\.", "", colnames(Y))))
contrasts(idata$phase) <- contr.sum(3); contrasts(idata$hour) <- contr.sum(5)
univariate <- function(f, type) {
  s <- summary(Anova(lm(f, ok), idata = idata, idesign = ~ phase * hour, type = type), multivariate = FALSE)
  u <- unclass(s$univariate.tests); sph <- unclass(s$sphericity.tests); adj <- unclass(s$pval.adjustments)
  list(type = type, formula = deparse(f), term = rownames(u), ss = unname(u[, 1]), df1 = unname(u[, 2]), ss_error = unname(u[, 3]),
       df2 = unname(u[, 4]), f = unname(u[, 5]), p = unname(u[, 6]),
       sphericity = list(term = rownames(sph), w = unname(sph[, 1]), p = unname(sph[, 2])),
       adjusted = list(term = rownames(adj), gg = unname(adj[, 1]), p_gg = unname(adj[, 2]), hf = unname(adj[, 3])))
}
f1 <- Y ~ treatment * gender
f2 <- Y ~ age + treatment
between <- function(type) {
  m <- lm(pre.1 ~ age + treatment * gender, ok)
  a <- if (type == "I") anova(m) else Anova(m, type = type)
  list(type = type, term = rownames(a), ss = a[["Sum Sq"]], df = a[["Df"]], f = a[["F value"]], p = a[["Pr(>F)"]])
}
eta <- as.data.frame(F_to_eta2(c(5.2, 1.1, .4), c(2, 3, 1), c(30, 57, 20), ci = .95, alternative = "two.sided"))
write_reference(list(
  long = long, wide = ok[, c("id", "treatment", "gender", "age", "pre.1")],
  repeated = list(univariate(f1, "II"), univariate(f1, "III"), univariate(f2, "II"), univariate(f2, "III")),
  between = lapply(c("I", "II", "III"), between),
  eta = list(f = c(5.2, 1.1, .4), df1 = c(2, 3, 1), df2 = c(30, 57, 20), low = eta$CI_low, high = eta$CI_high, eta = eta[[1]])
), c("car", "effectsize"))
