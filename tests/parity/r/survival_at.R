# Curves at chosen times, their differences and the areas under them, over several data sets: ties,
# late entry, weights, clusters, strata (survival).
source("common.R")
suppressPackageStartupMessages(library(survival))
set.seed(7)
months <- transform(lung[complete.cases(lung[, c("inst", "ph.ecog")]) & lung$ph.ecog < 3, ],
                    start = 0, stop = ceiling(time / 30), event = status - 1,
                    group = paste(sex, ph.ecog), site = inst)
late <- transform(heart, stop = ceiling(stop * 10) / 10, group = ifelse(surgery == 1, "yes", "no"),
                  site = id %% 13)
late$start <- pmin(ceiling(late$start), late$stop - .1)
rare <- transform(veteran, start = 0, stop = time, event = status, group = as.character(celltype), site = diagtime)
curves <- list(months = months, late = late, rare = rare)
curves <- lapply(curves, function(d) {
  d$w <- round(runif(nrow(d), .4, 3), 2)
  d[, c("start", "stop", "event", "group", "site", "w")]
})
bone <- mgus2[1:300, ]
bone$stop <- with(bone, ifelse(pstat == 0, futime, ptime))
bone$ending <- with(bone, ifelse(pstat == 0, 2 * death, 1))
bone <- transform(bone, start = 0, group = as.character(sex), site = rep(1:25, length.out = 300))
entered <- transform(bone, start = ifelse(stop > 24, sample(0:20, 300, TRUE), 0))
tied <- transform(bone, stop = ceiling(stop / 12))
states <- lapply(list(bone = bone, entered = entered, tied = tied), function(d) {
  d$w <- round(runif(nrow(d), .4, 3), 2)
  d$id <- seq_len(nrow(d))
  d[, c("start", "stop", "ending", "group", "site", "w", "id")]
})
times <- list(months = c(0, 1, 5, 12.5, 20), late = c(.5, 10, 30, 100, 500), rare = c(0, 8, 100, 180),
              bone = c(0, 12, 60.5, 120, 200), entered = c(0, 25, 60, 120, 200), tied = c(0, 1, 5, 15))
until <- c(bone = 200, entered = 200, tied = 15)
kinds <- list(plain = list(), weighted = list(weights = quote(w)), clustered = list(cluster = quote(site)),
              both = list(weights = quote(w), cluster = quote(site)))

at_of <- function(d, name, given, multi) {
  response <- if (multi) Surv(start, stop, factor(ending, 0:2)) ~ 1 else Surv(start, stop, event) ~ 1
  more <- if (multi) list(id = quote(id)) else list()
  lapply(sort(unique(d$group)), function(g) {
    fit <- do.call(survfit, c(list(response, data = d[d$group == g, ], conf.type = "log-log"), more,
                              given))
    s <- summary(fit, times = times[[name]])
    pick <- function(values) if (multi) unname(values[, 2:3]) else unname(values)
    list(time = s$time, estimate = pick(if (multi) s$pstate else s$surv), se = pick(s$std.err),
         low = pick(s$lower), high = pick(s$upper),
         n_risk = if (multi) s$n.risk[, 1] else s$n.risk,
         n_event = if (multi) unname(s$n.event[, 2:3]) else s$n.event)
  })
}
# what each cluster (or row) adds to the incidences and to the areas under them
influence_of <- function(d, name, given) {
  clusters <- if ("cluster" %in% names(given)) sort(unique(d$site)) else seq_len(nrow(d))
  number <- if ("cluster" %in% names(given)) match(d$site, clusters) else seq_len(nrow(d))
  lapply(sort(unique(d$group)), function(g) {
    own <- d$group == g
    fit <- do.call(survfit, c(list(Surv(start, stop, factor(ending, 0:2)) ~ 1, data = d[own, ],
                                   id = quote(id), influence = TRUE), given[setdiff(names(given), "cluster")]))
    at <- fit$time <= max(times[[name]])
    rows <- fit$influence.pstate
    if (dim(rows)[1] != sum(own)) stop("rows")
    if ("weights" %in% names(given)) rows <- rows * d$w[own]
    place <- findInterval(times[[name]], fit$time)
    knots <- c(fit$time[fit$time < until[[name]]], until[[name]])
    width <- diff(knots); k <- length(width)
    sums <- function(m) rowsum(m, factor(number[own], seq_along(clusters)), reorder = TRUE)
    out <- array(0, c(length(clusters), length(place), 2)); area <- matrix(0, length(clusters), 2)
    who <- sort(unique(number[own]))
    shift <- dim(rows)[2] - length(fit$time)  # some versions begin with the time before the first
    for (state in 2:3) {
      values <- rows[, , state, drop = TRUE]
      padded <- cbind(0, values[, seq_along(fit$time) + shift])
      out[who, , state - 1] <- rowsum(padded[, place + 1], number[own])
      area[who, state - 1] <- rowsum(values[, seq_len(k) + shift, drop = FALSE] %*% width, number[own])
    }
    list(at = out, area = area,
         lost = unname(colSums(fit$pstate[seq_len(k), 2:3, drop = FALSE] * width)))
  })
}
differences_of <- function(d, name, given) {
  found <- influence_of(d, name, given)
  apart <- found[[2]]$at - found[[1]]$at
  alone <- lapply(found, function(f) apply(f$at, c(2, 3), function(v) sqrt(sum(v^2))))
  list(alone = alone, se = apply(apart, c(2, 3), function(v) sqrt(sum(v^2))),
       lost = rbind(found[[1]]$lost, found[[2]]$lost),
       lost_se = rbind(sqrt(colSums(found[[1]]$area^2)), sqrt(colSums(found[[2]]$area^2))),
       lost_apart = sqrt(colSums((found[[2]]$area - found[[1]]$area)^2)))
}
each <- function(sets, f) lapply(setNames(names(sets), names(sets)), function(n) {
  lapply(kinds, function(given) f(sets[[n]], n, given))
})
write_reference(list(
  curves = curves, states = states, times = times, until = as.list(until),
  survival = each(curves, function(d, n, g) at_of(d, n, g, FALSE)),
  # survfit takes no account of clusters where there are several endings
  incidence = lapply(setNames(names(states), names(states)), function(n) {
    lapply(kinds[c("plain", "weighted")], function(g) at_of(states[[n]], n, g, TRUE))
  }),
  differences = each(states, differences_of)
), "survival")
