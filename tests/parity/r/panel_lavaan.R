# Session to session: the random-intercept cross-lagged panel model and its kin by lavaan (full
# information maximum likelihood, observed information, tightened nlminb), on simulated ratings
# that are written beside the results.
source("common.R")
suppressPackageStartupMessages(library(lavaan))
set.seed(16)
tight <- list(rel.tol = 1e-13, iter.max = 20000, eval.max = 20000)

# three outcomes, ten sessions, two groups; persons start off their own equilibrium's spread
persons <- 160; sessions <- 10; k <- 3
phi <- matrix(c(.35, -.20, .05, -.25, .40, .10, .00, .10, .30), 3, byrow = TRUE)
innovation <- matrix(c(1, -.3, .2, -.3, .8, .1, .2, .1, .9), 3)
stable <- matrix(c(.8, -.3, .1, -.3, .7, .1, .1, .1, .5), 3)
first <- matrix(c(1.5, -.5, .2, -.5, 1.2, .1, .2, .1, 1.1), 3)
draw <- function(n, s) matrix(rnorm(n * nrow(s)), n) %*% chol(s)
group <- rep(c("family", "individual"), each = persons / 2)
b <- draw(persons, stable); slope <- draw(persons, 0.01 * diag(k))
w <- draw(persons, first)
z <- array(NA, c(persons, sessions, k))
for (s in 1:sessions) {
  if (s > 1) w <- w %*% t(phi) + draw(persons, innovation)
  mean_now <- matrix(c(4 + .10 * s, 20 - .20 * s, 3 + .05 * s), persons, k, byrow = TRUE)
  z[, s, ] <- round(mean_now + b + (s - 1) * slope + w + matrix(rnorm(persons * k, 0, .3), persons), 3)
}
names_of <- function(t, ks) as.vector(outer(seq_len(t), ks, function(s, j) paste0("y", j, "_", s)))
complete <- as.data.frame(matrix(z, persons)); names(complete) <- names_of(sessions, 1:k)
lost <- z
lost[runif(length(lost)) < .08] <- NA
leaves <- sample(3:14, persons, replace = TRUE)
for (i in 1:persons) if (leaves[i] < sessions) lost[i, (leaves[i] + 1):sessions, ] <- NA
incomplete <- as.data.frame(matrix(lost, persons)); names(incomplete) <- names(complete)
complete$group <- incomplete$group <- group
# the same ratings with slopes large enough to have a variance above zero
steeper <- draw(persons, matrix(c(.06, -.01, -.01, .06), 2)); trending <- incomplete
for (s in 1:sessions) for (j in 1:2) {
  name <- paste0("y", j, "_", s); trending[[name]] <- round(trending[[name]] + (s - 1) * steeper[, j], 3)
}

# the model in lavaan's language; `free` lets lags differ between sessions
syntax <- function(t, ks, lags = "equal", trends = FALSE, errors = NULL,
                   linear = FALSE, stationary = FALSE, groups = 1) {
  out <- character(); add <- function(...) out <<- c(out, paste0(...))
  y <- function(j, s) paste0("y", j, "_", s); v <- function(j, s) paste0("w", j, "_", s)
  lab <- function(stems) vapply(stems, function(stem) if (groups == 1) paste0(stem, "*") else
    paste0("c(", paste0(stem, "_g", seq_len(groups), collapse = ","), ")*"), "")
  for (j in ks) {
    add("b", j, " =~ ", paste0("1*", y(j, 1:t), collapse = " + "))
    if (trends) add("t", j, " =~ ", paste0(0:(t - 1), "*", y(j, 1:t), collapse = " + "))
    for (s in 1:t) {
      add(v(j, s), " =~ 1*", y(j, s))
      error <- if (is.null(errors)) "0*" else if (identical(errors, "estimate")) lab(paste0("error", j)) else paste0(errors[[j]], "*")
      add(y(j, s), " ~~ ", error, y(j, s))
      if (linear) add(y(j, s), " ~ ", "m", j, "_", s, "*1") else add(y(j, s), " ~ 1")
      add(v(j, s), " ~ 0*1")
    }
    add("b", j, " ~ 0*1"); if (trends) add("t", j, " ~ 0*1")
    if (linear && t > 2) for (s in 3:t) add("m", j, "_", s, " == m", j, "_1 + ", s - 1, "*(m", j, "_2 - m", j, "_1)")
  }
  person <- c(paste0("b", ks), if (trends) paste0("t", ks))
  for (p in seq_along(person)) for (q in seq_len(p)) add(person[p], " ~~ ", lab(paste0("B_", person[p], "_", person[q])), person[q])
  for (p in seq_along(ks)) for (q in seq_len(p)) {
    i <- ks[p]; j <- ks[q]
    add(v(i, 1), " ~~ ", lab(paste0("F", i, j)), v(j, 1))
    if (t > 1) for (s in 2:t) add(v(i, s), " ~~ ", lab(paste0("E", i, j)), v(j, s))
  }
  if (t > 1) for (s in 2:t) for (i in ks)
    add(v(i, s), " ~ ", paste0(lab(paste0("p", i, ks, if (lags == "free") paste0("_", s))), v(ks, s - 1), collapse = " + "))
  if (stationary) {
    out <- c(out, "F11 == p11^2*F11 + 2*p11*p12*F21 + p12^2*F22 + E11",
             "F22 == p21^2*F11 + 2*p21*p22*F21 + p22^2*F22 + E22",
             "F21 == p11*p21*F11 + (p11*p22 + p12*p21)*F21 + p12*p22*F22 + E21")
  }
  paste(out, collapse = "\n")
}

describe <- function(fit) {
  table <- parameterEstimates(fit, ci = FALSE, remove.nonfree = FALSE, remove.eq = FALSE, remove.ineq = FALSE)
  labelled <- table[table$label != "" & table$op != "==" & !duplicated(table$label), ]
  means <- table[table$op == "~1" & grepl("^y", table$lhs), ]
  list(log_lik = as.numeric(logLik(fit)), n_parameters = attr(logLik(fit), "df"),
       label = labelled$label, estimate = labelled$est, std_error = labelled$se,
       mean_of = means$lhs, mean = means$est, mean_se = means$se)
}
# a tighter search, which nlminb calls false convergence where it cannot better what it has by
# rel.tol, beside the one at lavaan's own tolerance: the better is kept (the tighter one runs away to
# impossible covariances where there are trends)
fitted_by <- function(model, data, ...) {
  ask <- function(control, ...) lavaan(model, data, missing = "ml", meanstructure = TRUE, information = "observed",
    observed.information = "hessian", baseline = FALSE, h1 = FALSE, control = control, ...)
  usual <- ask(list(iter.max = 20000, eval.max = 20000), ...)
  fit <- suppressWarnings(ask(tight, optim.force.converged = TRUE, ...))
  rise <- as.numeric(logLik(fit)) - as.numeric(logLik(usual))
  cat(sprintf("(%s, %.1e higher) ", lavInspect(usual, "converged"), rise))
  stopifnot(lavInspect(usual, "converged"))
  describe(if (rise > 0) fit else usual)
}
fits <- list(); put <- function(name, ...) { cat(name, ""); fits[[name]] <<- c(fitted_by(...)) }

for (t in c(3, 4, 6, 10)) put(paste0("complete_", t), syntax(t, 1:2), complete)
for (t in c(4, 6, 8, 10)) put(paste0("missing_", t), syntax(t, 1:2), incomplete)
put("free_lags_4", syntax(4, 1:2, lags = "free"), incomplete)
put("free_lags_6", syntax(6, 1:2, lags = "free"), incomplete)
put("two_groups_5", syntax(5, 1:2, groups = 2), incomplete, group = "group", group.label = c("family", "individual"))
put("trends_6", syntax(6, 1:2, trends = TRUE), trending)
put("trends_10", syntax(10, 1:2, trends = TRUE), trending)
put("linear_means_6", syntax(6, 1:2, linear = TRUE), incomplete)
put("three_outcomes_5", syntax(5, 1:3), incomplete)
put("three_outcomes_10", syntax(10, 1:3), incomplete)
put("fixed_errors_6", syntax(6, 1:2, errors = c(.2, .1)), incomplete)
put("estimated_errors_10", syntax(10, 1:2, errors = "estimate"), complete)
put("stationary_6", syntax(6, 1:2, stationary = TRUE), incomplete)
put("one_outcome_6", syntax(6, 1), incomplete)

# the accumulating form: intercepts of the changes, free to covary with the first ratings
accumulating <- function(t) {
  y <- function(j, s) paste0("y", j, "_", s); out <- character()
  for (j in 1:2) {
    out <- c(out, paste0("a", j, " =~ ", paste0("1*", y(j, 2:t), collapse = " + ")),
             paste0(y(j, 1:t), " ~ 1"), paste0("a", j, " ~ 0*1"))
    for (s in 2:t) out <- c(out, paste0(y(j, s), " ~ p", j, "1*", y(1, s - 1), " + p", j, "2*", y(2, s - 1)))
  }
  free <- c("a1", "a2", "y1_1", "y2_1")
  for (p in 1:4) for (q in 1:p) out <- c(out, paste0(free[p], " ~~ C_", free[p], "_", free[q], "*", free[q]))
  for (s in 2:t) out <- c(out, paste0(y(1, s), " ~~ E11*", y(1, s)), paste0(y(2, s), " ~~ E21*", y(1, s)), paste0(y(2, s), " ~~ E22*", y(2, s)))
  paste(out, collapse = "\n")
}
put("accumulating_4", accumulating(4), incomplete)
put("accumulating_6", accumulating(6), incomplete)
cat("\n")

write_reference(list(complete = complete, incomplete = incomplete, trending = trending, fits = fits), packages = "lavaan")
