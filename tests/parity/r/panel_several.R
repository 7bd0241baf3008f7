# Several outcomes at once: persons alone by lavaan (full information maximum likelihood), persons in
# therapists by nlme and glmmTMB (restricted maximum likelihood on outcomes stacked in one column),
# on simulated ratings that are written beside the results.
source("common.R")
suppressPackageStartupMessages({ library(lavaan); library(nlme); library(glmmTMB) })
set.seed(61)
persons <- 120; therapists <- 15; sessions <- 5; k <- 3
draw <- function(n, s) matrix(rnorm(n * nrow(s)), n) %*% chol(s)
stable <- matrix(c(.8, -.3, .1, -.3, .7, .1, .1, .1, .5), 3)
slopes <- matrix(c(.08, -.03, 0, -.03, .06, 0, 0, 0, .05), 3)
above <- matrix(c(.5, -.2, .1, -.2, .4, .0, .1, .0, .3), 3)
new <- matrix(c(1, -.4, .2, -.4, .8, .1, .2, .1, .9), 3)
therapist <- rep(seq_len(therapists), length.out = persons)
b <- draw(persons, stable) + draw(therapists, above)[therapist, ]; slope <- draw(persons, slopes)
leaves <- sample(2:9, persons, replace = TRUE)
d <- do.call(rbind, lapply(seq_len(sessions), function(s) {
  y <- b + (s - 1) * slope + draw(persons, new) +
    matrix(c(4 + .1 * s, 20 - .2 * s, 3), persons, k, byrow = TRUE)
  y[runif(length(y)) < .1] <- NA
  y[leaves < s, ] <- NA
  data.frame(person = seq_len(persons), therapist, session = s, y1 = y[, 1], y2 = y[, 2], y3 = y[, 3])
}))
d[4:6] <- round(d[4:6], 3)

# persons alone, by lavaan: an intercept (and a slope) for each outcome, residuals of a session related
wide <- reshape(d[c("person", "session", "y1", "y2")], idvar = "person", timevar = "session",
                direction = "wide", sep = "_")
syntax <- function(growth, linear) {
  out <- character(); add <- function(...) out <<- c(out, paste0(...))
  y <- function(j, s) paste0("y", j, "_", s)
  for (j in 1:2) {
    add("b", j, " =~ ", paste0("1*", y(j, 1:sessions), collapse = " + "))
    if (growth) add("t", j, " =~ ", paste0(0:(sessions - 1), "*", y(j, 1:sessions), collapse = " + "))
    if (linear) {
      add(paste0(y(j, 1:sessions), " ~ 0*1", collapse = "\n")); add("b", j, " ~ m", j, "*1"); add("t", j, " ~ g", j, "*1")
    } else add(paste0(y(j, 1:sessions), " ~ 1", collapse = "\n"))
  }
  person <- c("b1", "b2", if (growth) c("t1", "t2"))
  for (p in seq_along(person)) for (q in seq_len(p))
    add(person[p], " ~~ B_", person[p], "_", person[q], "*", person[q])
  for (s in 1:sessions) add(y(1, s), " ~~ E11*", y(1, s), " + E21*", y(2, s), "\n", y(2, s), " ~~ E22*", y(2, s))
  paste(out, collapse = "\n")
}
by_lavaan <- function(model) {
  fit <- suppressWarnings(lavaan(model, wide, missing = "ml", meanstructure = TRUE, information = "observed",
                observed.information = "hessian", baseline = FALSE, h1 = FALSE,
                control = list(rel.tol = 1e-13, iter.max = 20000, eval.max = 20000), optim.force.converged = TRUE))
  table <- parameterEstimates(fit, ci = FALSE, remove.eq = FALSE)
  table <- table[table$label != "" & !duplicated(table$label), ]
  list(log_lik = as.numeric(logLik(fit)), n_parameters = attr(logLik(fit), "df"), label = table$label,
       estimate = table$est, std_error = table$se)
}

# outcomes stacked in one column
stacked <- function(ks) {
  long <- do.call(rbind, lapply(ks, function(j) data.frame(d[1:3], outcome = paste0("y", j), y = d[[paste0("y", j)]])))
  long <- long[!is.na(long$y), ]
  long$outcome <- factor(long$outcome); long$place <- as.integer(long$outcome)
  long$row <- interaction(long$person, long$session, drop = TRUE); long$occasion <- factor(long$session)
  long$person <- factor(long$person); long$therapist <- factor(long$therapist)
  long[order(long$therapist, long$person, long$session, long$place), ]
}
by_nlme <- function(fixed, ks, method) {
  fit <- lme(fixed, stacked(ks), random = list(therapist = pdSymm(~ 0 + outcome), person = pdSymm(~ 0 + outcome)),
             weights = varIdent(form = ~ 1 | outcome), correlation = corSymm(form = ~ place | therapist/person/session),
             method = method, control = lmeControl(opt = "nlminb", maxIter = 500, msMaxIter = 2000, msMaxEval = 5000,
             niterEM = 100, tolerance = 1e-12, msTol = 1e-12, returnObject = TRUE, msVerbose = FALSE))
  list(log_lik = as.numeric(logLik(fit)), fixed = as.numeric(fixef(fit)), fixed_se = as.numeric(sqrt(diag(vcov(fit)))),
       names = names(fixef(fit)))
}
by_tmb <- function(fixed, ks) {
  fit <- glmmTMB(update(fixed, . ~ . + (0 + outcome | therapist) + (0 + outcome | person) + (0 + outcome | row)),
                 stacked(ks), dispformula = ~ 0, REML = TRUE, control = glmmTMBControl(optCtrl = list(rel.tol = 1e-14, iter.max = 5000, eval.max = 5000)))
  cov <- lapply(VarCorr(fit)$cond, function(v) { m <- matrix(v, nrow(v)); m })
  list(log_lik = as.numeric(logLik(fit)), therapist = cov$therapist, person = cov$person, row = cov$row,
       fixed = as.numeric(fixef(fit)$cond), fixed_se = as.numeric(sqrt(diag(vcov(fit)$cond))), names = names(fixef(fit)$cond))
}
session_means <- y ~ 0 + outcome:occasion
linear_means <- y ~ 0 + outcome + outcome:session
write_reference(list(
  data = d,
  lavaan = list(intercepts = by_lavaan(syntax(FALSE, FALSE)), growth = by_lavaan(syntax(TRUE, FALSE)),
                linear_growth = by_lavaan(syntax(TRUE, TRUE))),
  nlme = list(session = by_nlme(session_means, 1:2, "REML"), linear = by_nlme(linear_means, 1:2, "REML"),
              ml = by_nlme(session_means, 1:2, "ML")),
  glmmTMB = list(session = by_tmb(session_means, 1:2), linear = by_tmb(linear_means, 1:2), three = by_tmb(session_means, 1:3))
), packages = c("lavaan", "nlme", "glmmTMB"))
