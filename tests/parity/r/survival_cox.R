# Cox models, frailty, tests of proportional hazards, concordance, residuals and prediction
# (survival), with tightened controls; Fine-Gray models (cmprsk).
source("common.R")
suppressPackageStartupMessages({library(survival); library(cmprsk)})
tight <- coxph.control(eps = 1e-12, iter.max = 200, outer.max = 100, toler.chol = 1e-14)

fitted <- function(fit) {
  k <- concordance(fit)
  list(coef = unname(coef(fit)), se = unname(sqrt(diag(if (is.null(fit$naive.var)) fit$var else fit$naive.var))),
       robust = if (is.null(fit$naive.var)) NULL else unname(sqrt(diag(fit$var))),
       loglik = fit$loglik, concordance = unname(c(k$concordance, sqrt(k$var), k$count[1:3])))
}
both_ties <- function(formula, data, cluster = NULL) {
  sapply(c("efron", "breslow"), function(ties) {
    given <- list(formula, data = data, ties = ties, control = tight)
    if (!is.null(cluster)) given$cluster <- cluster
    fitted(do.call(coxph, given))
  }, simplify = FALSE)
}
zph <- function(fit) {
  sapply(c("km", "rank", "identity", "log"), function(g) {
    table <- cox.zph(fit, transform = g)$table
    list(term = rownames(table), chisq = unname(table[, "chisq"]), df = unname(table[, "df"]))
  }, simplify = FALSE)
}
survival_of <- function(fit, newdata, times, type) {
  s <- summary(survfit(fit, newdata = newdata, conf.type = type), times = times)
  list(surv = c(s$surv), se = c(s$std.err), lower = c(s$lower), upper = c(s$upper))
}

# Simulated session data: heavy ties, late entry, therapists, a time-varying alliance.
set.seed(11)
persons <- 300
sessions <- do.call(rbind, lapply(seq_len(persons), function(i) {
  therapist <- (i - 1) %% 25 + 1
  first <- sample(0:3, 1, prob = c(7, 1, 1, 1))
  barrier <- rnorm(1); level <- rnorm(1, 5, .7); rows <- list()
  u <- sin(therapist * 37) * .6
  for (t in (first + 1):14) {
    alliance <- level + rnorm(1, 0, .5)
    left <- rbinom(1, 1, plogis(-2.2 - .5 * (alliance - 5) + .4 * barrier + u))
    rows[[length(rows) + 1]] <- data.frame(person = i, therapist = therapist, start = t - 1,
      stop = t, alliance = round(alliance, 4), barrier = round(barrier, 4), left = left,
      site = (i %% 3) + 1)
    if (left == 1 || runif(1) < .03) break
  }
  do.call(rbind, rows)
}))

veteran <- transform(survival::veteran, celltype = factor(as.character(celltype)))
heart <- transform(survival::heart, transplant = as.numeric(as.character(transplant)))
lung <- transform(survival::lung, left = status - 1)
lung <- lung[, c("inst", "time", "left", "age", "sex", "ph.ecog", "wt.loss")]
bladder2 <- survival::bladder2[, c("id", "rx", "number", "size", "start", "stop", "event", "enum")]

vet <- coxph(Surv(time, status) ~ karno + celltype + age, veteran, control = tight)
vet_strata <- coxph(Surv(time, status) ~ karno + age + strata(celltype), veteran, control = tight)
ses <- coxph(Surv(start, stop, left) ~ alliance + barrier, sessions, cluster = therapist,
             control = tight)
ses_formula <- Surv(start, stop, left) ~ alliance + barrier

frailty_fit <- function(formula, data, gauss) {
  fit <- suppressWarnings(coxph(formula, data, control = tight))
  p <- sum(!grepl("^(gamma|gauss):", names(coef(fit))))
  h <- fit$history[[1]]
  list(coef = unname(coef(fit)[1:p]), se = unname(sqrt(diag(as.matrix(fit$var)))[1:p]),
       theta = if (gauss) h$history[nrow(h$history), 1] else h$theta,
       loglik = if (gauss) NULL else h$c.loglik, b = unname(coef(fit)[-(1:p)]))
}
gamma_frailty <- function(rhs, lhs, data, id) {
  frailty_fit(as.formula(paste(lhs, "~", rhs, "+ frailty(", id, ", eps = 1e-12, sparse = FALSE)")),
              data, FALSE)
}
normal_frailty <- function(rhs, lhs, data, id) {
  frailty_fit(as.formula(paste(lhs, "~", rhs, "+ frailty(", id,
    ", eps = 1e-12, sparse = FALSE, distribution = 'gaussian')")), data, TRUE)
}
frailties <- function(...) list(gamma = gamma_frailty(...), lognormal = normal_frailty(...))

competing <- jsonlite::fromJSON("../reference/survival_competing.json")
crr_fit <- function(data, cause) {
  data <- as.data.frame(data)
  fit <- crr(data$time, data$ending, cbind(data$framework, data$site == 2, data$site == 3) + 0,
             failcode = cause, gtol = 1e-14, maxiter = 50)
  list(coef = unname(fit$coef), se = sqrt(diag(fit$var)), loglik = fit$loglik,
       cumhaz = sum(fit$bfitj))
}

write_reference(list(
  sessions = sessions, lung = lung,
  fits = list(
    veteran = both_ties(Surv(time, status) ~ karno + celltype + age, veteran),
    veteran_strata = both_ties(Surv(time, status) ~ karno + age + strata(celltype), veteran),
    lung = both_ties(Surv(time, left) ~ age + sex + ph.ecog + wt.loss, lung),
    heart = both_ties(Surv(start, stop, event) ~ age + year + surgery + transplant, heart,
                      cluster = heart$id),
    bladder = both_ties(Surv(start, stop, event) ~ rx + size + number + strata(enum), bladder2,
                        cluster = bladder2$id),
    ovarian = both_ties(Surv(futime, fustat) ~ age + rx, ovarian),
    sessions = both_ties(ses_formula, sessions, cluster = sessions$therapist),
    sessions_strata = both_ties(Surv(start, stop, left) ~ alliance + barrier + strata(site),
                                sessions, cluster = sessions$therapist)
  ),
  zph = list(veteran = zph(vet), veteran_strata = zph(vet_strata), sessions = zph(ses)),
  survival = list(
    veteran = survival_of(vet, veteran[c(1, 51), ], c(30, 100, 200), "log-log"),
    veteran_strata = survival_of(vet_strata, veteran[c(1, 51), ], c(10, 60, 120), "log"),
    sessions = survival_of(ses, sessions[c(1, 40), ], c(2, 6, 12), "log-log")
  ),
  baseline = basehaz(ses, centered = FALSE),
  residuals = list(
    martingale = unname(residuals(ses, "martingale")), deviance = unname(residuals(ses, "deviance")),
    dfbeta = unname(residuals(ses, "dfbeta")),
    schoenfeld = unname(residuals(coxph(ses_formula, sessions, control = tight), "schoenfeld")),
    scaled = unname(residuals(coxph(ses_formula, sessions, control = tight), "scaledsch"))
  ),
  frailty = list(
    kidney = frailties("age + sex", "Surv(time, status)", kidney, "id"),
    retinopathy = frailties("age + trt + risk", "Surv(futime, status)", retinopathy, "id"),
    sessions = frailties("alliance + barrier", "Surv(start, stop, left)", sessions, "therapist"),
    sessions_strata = frailties("alliance + barrier + strata(site)", "Surv(start, stop, left)",
                                sessions, "therapist")
  ),
  fine_gray = list(endings = lapply(1:3, function(k) crr_fit(competing$endings, k)),
                   continuous = lapply(1:3, function(k) crr_fit(competing$continuous, k)))
), packages = c("survival", "cmprsk"))
