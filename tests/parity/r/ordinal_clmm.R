# Ratings in steps: cumulative link mixed models by ordinal::clmm (Laplace, inner steps to 1e-10) and
# clmm2, on the wine data and on simulated ratings that are written beside the results.
source("common.R")
suppressPackageStartupMessages(library(ordinal))
set.seed(20)
therapists <- 12; families <- 48; persons <- 120; sessions <- 5
family <- sort(rep(seq_len(families), length.out = persons)); therapist <- ((family - 1) %% therapists) + 1
d <- expand.grid(person = seq_len(persons), session = seq_len(sessions))
d$family <- family[d$person]; d$therapist <- therapist[d$person]; d$room <- sample(8, nrow(d), replace = TRUE)
d$role <- c("mother", "father", "child")[(d$person %% 3) + 1]; d$age <- round(rnorm(persons), 3)[d$person]
slope <- rnorm(persons, 0, .25)[d$person]
latent <- (.2 + slope) * (d$session - 1) + .5 * (d$role == "mother") - .4 * d$age + rnorm(therapists, 0, .7)[d$therapist] +
  rnorm(families, 0, .8)[d$family] + rnorm(persons, 0, .9)[d$person] + rnorm(8, 0, .5)[d$room] + rlogis(nrow(d))
d$rating <- as.integer(cut(latent, c(-Inf, -1.6, -.2, 1, 2.3, Inf)))
d$rating[runif(nrow(d)) < .05] <- NA
f <- within(d, { rating <- factor(rating, ordered = TRUE); role <- factor(role); for (v in c("person", "family", "therapist", "room")) assign(v, factor(get(v))) })
f$person <- factor(d$person); f$family <- factor(d$family); f$therapist <- factor(d$therapist); f$room <- factor(d$room)
control <- clmm.control(gradTol = 1e-10, maxIter = 200, maxLineIter = 200)
describe <- function(fit) {
  V <- VarCorr(fit)
  list(log_lik = as.numeric(logLik(fit)), n_parameters = attr(logLik(fit), "df"), names = names(coef(fit)),
       estimate = as.numeric(coef(fit)), std_error = as.numeric(sqrt(diag(vcov(fit)))[seq_along(coef(fit))]),
       variances = lapply(V, function(v) matrix(as.numeric(v), nrow(v))), gradient = max(abs(fit$gradient)))
}
by <- function(formula, ..., data = f) describe(clmm(formula, data = data, control = control, ...))
fits <- list(
  wine = by(rating ~ temp + contact + (1 | judge), data = wine),
  person = by(rating ~ session + role + (1 | person)),
  nested = by(rating ~ session + role + age + (1 | therapist) + (1 | family) + (1 | person)),
  crossed = by(rating ~ session + role + (1 | person) + (1 | room)),
  slopes = by(rating ~ session + role + (1 + session | person)),
  probit = by(rating ~ session + role + (1 | family) + (1 | person), link = "probit"),
  cloglog = by(rating ~ session + role + (1 | family) + (1 | person), link = "cloglog"),
  symmetric = by(rating ~ session + role + (1 | person), threshold = "symmetric"),
  equidistant = by(rating ~ session + role + (1 | person), threshold = "equidistant"))
one <- clmm2(rating ~ session + role, random = person, data = f, Hess = TRUE, control = clmm2.control(method = "nlminb", gradTol = 1e-10))
fits$clmm2 <- list(log_lik = as.numeric(logLik(one)), estimate = as.numeric(one$coefficients), names = names(one$coefficients),
                   sd = as.numeric(one$stDev), std_error = as.numeric(sqrt(diag(solve(one$Hessian))))[seq_along(one$coefficients) ])
new <- data.frame(temp = factor(c("cold", "warm")), contact = factor(c("no", "yes")))
write_reference(list(data = d, wine = data.frame(lapply(wine, as.character)), fits = fits), packages = "ordinal")
