# After a generalized fit, by glmmTMB: profile limits (uniroot), and the sandwich over therapists of the
# scores of each therapist's own likelihood.
source("common.R")
suppressPackageStartupMessages(library(glmmTMB))
tight <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14))
one <- glmmTMBControl(optCtrl = list(iter.max = 1, eval.max = 1))

set.seed(23)
sizes <- c(4, 7, 9, 12, 14, 15, 18, 20, 25, 31)
therapist <- rep(seq_along(sizes), sizes)
n <- length(therapist)
d <- data.frame(therapist = paste("T", therapist), family = paste0("f", therapist, "_", sample(1:4, n, TRUE)),
                x = round(rnorm(n), 3), own = round(rnorm(10), 3)[therapist])
eta <- 0.4 + 0.3 * d$x + 0.2 * d$own + rnorm(10, 0, 0.5)[therapist]
d$wild <- rnbinom(n, size = 1.5, mu = exp(eta))
d$yes <- rbinom(n, 1, plogis(eta))
d$wait <- round(rgamma(n, shape = 3, rate = 3 / exp(eta)), 4)

describe <- function(formula, family) {
  m <- glmmTMB(formula, d, family = family, control = tight)
  V <- vcov(m, full = TRUE)
  par <- m$fit$par
  S <- sapply(unique(d$therapist), function(t) {
    own <- suppressWarnings(glmmTMB(formula, d[d$therapist == t, ], family = family, control = one, se = FALSE))
    -as.vector(own$obj$gr(par))
  })
  # the last columns are logarithms of SDs
  limits <- function(i) as.vector(TMB::tmbroot(m$obj, name = i, sd.range = 12))
  list(log_lik = as.numeric(logLik(m)), estimate = unname(fixef(m)$cond), n = length(par), names = names(par),
       par = unname(par), scores = unname(S), cr0 = unname(sqrt(diag(V %*% S %*% t(S) %*% V))),
       limits = lapply(seq_along(par), limits))
}
out <- list(data = d,
  counts = describe(wild ~ x + own + (1 | therapist), nbinom2()),
  events = describe(yes ~ x + own + (1 | therapist), binomial()),
  times = describe(wait ~ x + own + (1 | therapist/family), Gamma("log")))
write_reference(out, packages = c("glmmTMB", "TMB"))
