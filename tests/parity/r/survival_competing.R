# Cumulative incidence (survival), Gray's test (cmprsk), restricted means (survival).
source("common.R")
suppressPackageStartupMessages({library(survival); library(cmprsk)})

# Simulated endings: 1 dropout, 2 planned ending, 3 transfer; heavy ties, therapists as clusters.
set.seed(7)
n <- 400
endings <- data.frame(therapist = sample(1:30, n, replace = TRUE),
                      framework = rbinom(n, 1, .5), site = sample(1:3, n, replace = TRUE))
latent <- cbind(rgeom(n, .06 + .03 * endings$framework), rgeom(n, .08), rgeom(n, .01),
                rgeom(n, .03)) + 1
endings$time <- apply(latent, 1, min)
endings$ending <- apply(latent, 1, which.min) %% 4
endings$id <- seq_len(n)
endings$entry <- pmin(rbinom(n, 3, .2), endings$time - 1)
continuous <- transform(endings, time = time + round(runif(n) * .9, 6))

cif <- function(data, entry = FALSE, by = NULL) {
  data$state <- factor(data$ending, 0:3, c("censored", "1", "2", "3"))
  formula <- if (entry) Surv(entry, time, state) ~ framework else Surv(time, state) ~ framework
  fit <- do.call(survfit, list(formula, data = data, id = data$id, influence = 1,
                               conf.type = "log-log"))
  s <- summary(fit, censored = TRUE)
  std_err <- s$std.err
  if (!is.null(by)) {  # summed influence of each cluster
    squares <- lapply(0:1, function(g) {
      infl <- fit$influence.pstate[[g + 1]]
      own <- data[[by]][data$framework == g]
      # the first slice is the start, before any time
      apply(infl, 2:3, function(x) sqrt(sum(rowsum(x, own)^2)))[-1, ]
    })
    std_err <- do.call(rbind, squares)
  }
  list(strata = as.character(s$strata), time = s$time, n_risk = s$n.risk[, 1],
       pstate = as.matrix(s$pstate), std_err = as.matrix(std_err),
       lower = as.matrix(s$lower), upper = as.matrix(s$upper))
}
gray <- function(data, ...) {
  fit <- cuminc(data$time, data$ending, data$framework, ...)
  unname(fit$Tests[, "stat"])
}
three <- function(data, ...) unname(cuminc(data$time, data$ending, data$site, ...)$Tests[, "stat"])

lung <- survival::lung
lung$left <- lung$status - 1
lung$inst[is.na(lung$inst)] <- 99
rmean <- function(formula, data, until) {
  table <- summary(survfit(formula, data), rmean = until)$table
  list(estimate = unname(table[, "rmean"]), std_error = unname(table[, "se(rmean)"]))
}
fit <- survfit(Surv(time, left) ~ sex, lung, cluster = lung$inst, influence = 1)
clustered_rmean <- function(until) {
  start <- 0; out <- list()
  all_inst <- sort(unique(lung$inst))
  sapply(1:2, function(g) {
    rows <- cumsum(c(0, fit$strata))[g] + seq_len(fit$strata[g])
    time <- fit$time[rows]
    width <- pmax(diff(pmin(c(time, until), until)), 0)
    infl <- drop(fit$influence.surv[[g]] %*% width)
    own <- sort(unique(lung$inst[lung$sex == g]))
    full <- setNames(rep(0, length(all_inst)), all_inst)
    full[as.character(own)] <- infl
    full
  })
}
infl <- clustered_rmean(500)

write_reference(list(
  endings = endings, continuous = continuous,
  lung = lung[, c("inst", "time", "left", "sex")],
  ties = cif(endings), continuous_cif = cif(continuous), entry = cif(endings, entry = TRUE),
  cluster = cif(endings, by = "therapist"),
  gray = gray(endings), gray_continuous = gray(continuous), gray_rho = gray(endings, rho = 1),
  gray_strata = gray(endings, strata = endings$site), gray_three = three(endings),
  rmean = rmean(Surv(time, left) ~ sex, lung, 500),
  rmean_entry = rmean(Surv(entry, time, ending > 0) ~ framework, endings, 20),
  rmean_cluster = unname(crossprod(infl))
), packages = c("survival", "cmprsk"))
