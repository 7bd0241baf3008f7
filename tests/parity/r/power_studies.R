# Power by loops of lme4 and lmerTest of their own, 500 studies a cell, Satterthwaite's df: an effect
# of what therapists differ in, an effect of the session before, a trial of three levels, and a
# group's course over time. Studies are drawn here as the texts of the designs say.
source("common.R")
suppressPackageStartupMessages({library(lme4); library(lmerTest)})
set.seed(24)
n_studies <- 500

answer <- function(formula, data, term) {
  fit <- suppressMessages(suppressWarnings(lmerTest::lmer(formula, data)))
  found <- coef(summary(fit))[term, ]
  c(p = unname(found["Pr(>|t|)"]), estimate = unname(found["Estimate"]), singular = isSingular(fit))
}

# Families of one mother each, every therapist two of them and the rest at random
families_of <- function(therapists, families) {
  sort(c(rep(seq_len(therapists), each = 2),
         sample(therapists, families - 2 * therapists, replace = TRUE)))
}

ratings_of <- function(therapist, sessions, experience) {
  years <- sample(1:25, max(therapist), replace = TRUE)
  level <- 4 + experience * years[therapist] + 0.2 * rnorm(max(therapist))[therapist] +
    sqrt(0.3^2 + 0.3^2) * rnorm(length(therapist))
  d <- expand.grid(session = seq_len(sessions), family = seq_along(therapist))
  d$therapist <- therapist[d$family]
  d$experience <- years[d$therapist]
  d$level <- level[d$family]
  d$alliance <- d$level + 0.03 * d$session + 0.4 * rnorm(nrow(d))
  d
}

therapist_effect <- function(effect) {
  d <- ratings_of(families_of(12, 48), 4, effect)
  answer(alliance ~ session + experience + (1 | therapist/family), d, "experience")
}

lagged_effect <- function(effect) {
  therapist <- families_of(10, 40)
  d <- ratings_of(therapist, 6, 0)
  stable <- 2 * rnorm(max(therapist))[d$therapist] +
    sqrt(4^2 + 6^2) * rnorm(length(therapist))[d$family]
  d$before <- ave(d$alliance, d$family, FUN = function(x) c(NA, head(x, -1)))
  deviation <- ifelse(is.na(d$before), 0, d$before - d$level)
  d$symptoms <- 55 - 0.6 * d$session + (effect - 3) * (d$level - 5) - 3 * (d$alliance - d$level) +
    effect * deviation + stable + 5 * rnorm(nrow(d))
  answer(symptoms ~ session + alliance + before + (1 | therapist/family), d, "before")
}

three_levels <- function(effect) {
  d <- expand.grid(rating = 1:3, member = 1:4, cluster = 1:12)
  d$treated <- as.numeric(d$cluster <= 6)
  d$person <- (d$cluster - 1) * 4 + d$member
  d$y <- effect * d$treated + sqrt(0.1) * rnorm(12)[d$cluster] + sqrt(0.3) * rnorm(48)[d$person] +
    sqrt(0.6) * rnorm(nrow(d))
  answer(y ~ treated + (1 | cluster) + (1 | person), d, "treated")
}

group_by_time <- function(effect) {
  d <- expand.grid(week = 0:5, patient = 1:6, therapist = 1:8)
  d$person <- (d$therapist - 1) * 6 + d$patient
  d$treated <- as.numeric(d$therapist <= 4)
  slope <- effect * d$treated + 0.1 * rnorm(8)[d$therapist] + 0.2 * rnorm(48)[d$person]
  d$y <- rnorm(48)[d$person] + slope * d$week + rnorm(nrow(d))
  answer(y ~ week * treated + (0 + week | therapist) + (1 | person) + (0 + week | person), d,
         "week:treated")
}

designs <- list(therapist = therapist_effect, lagged = lagged_effect, levels = three_levels,
                time = group_by_time)
cells <- data.frame(design = rep(names(designs), each = 2),
                    effect = c(0, 0.03, 0, -2.5, 0, 0.8, 0, 0.3))
cells[c("rejected", "singular", "mean", "sd")] <- NA
for (i in seq_len(nrow(cells))) {
  found <- replicate(n_studies, designs[[cells$design[i]]](cells$effect[i]))
  cells$rejected[i] <- sum(found["p", ] < 0.05)
  cells$singular[i] <- sum(found["singular", ])
  cells$mean[i] <- mean(found["estimate", ])
  cells$sd[i] <- sd(found["estimate", ])
}
write_reference(list(n_studies = n_studies, cells = cells), packages = c("lme4", "lmerTest"))
