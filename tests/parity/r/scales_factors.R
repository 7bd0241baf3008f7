# Factor models (lavaan): one and two factors, missing values, groups, clusters, two levels, dyads; omega by level.
source("common.R")
suppressPackageStartupMessages(library(lavaan))
set.seed(29)
tight <- list(rel.tol = 1e-10, eval.max = 20000, iter.max = 20000)
measures <- c("npar", "logl", "unrestricted.logl", "chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea.ci.lower",
              "rmsea.ci.upper", "srmr", "aic", "bic")
told <- function(fit, extra = NULL) {
  p <- parameterEstimates(fit)
  names(p)[names(p) == "block"] <- "at"
  list(fit = as.list(fitMeasures(fit, c(measures, extra))),
       parameters = p[, intersect(c("lhs", "op", "rhs", "group", "level", "at", "label", "est", "se"), names(p))])
}
items <- function(n, twice = 1) {
  f <- rnorm(n); g <- .6 * f + .8 * rnorm(n)
  l <- c(.9, .7, 1.1, .8, 1, .6); m <- c(4, 3.5, 5, 4.2, 3.8, 4.4)
  d <- sapply(1:6, function(j) m[j] + l[j] * (if (j <= 3) f else g) + c(.8, 1, .7, .9, .6, 1.1)[j] * rnorm(n))
  d <- as.data.frame(round(d, 2)); names(d) <- paste0("i", 1:6); d
}
two <- "task =~ i1 + i2 + i3\nbond =~ i4 + i5 + i6"
one <- "task =~ i1 + i2 + i3 + i4 + i5 + i6"
d <- items(240)
h <- d; h[sample(240, 40), "i2"] <- NA; h[h$i1 > 5, "i5"] <- NA; h[7:12, c("i3", "i4", "i6")] <- NA
whole <- list(
  data = d, holes = h,
  two = told(cfa(two, d, std.lv = TRUE, meanstructure = TRUE, control = tight)),
  one = told(cfa(one, d, std.lv = TRUE, meanstructure = TRUE, control = tight)),
  missing = told(cfa(two, h, std.lv = TRUE, missing = "ml", control = tight)))
# groups: a shifted intercept of i3, other loadings of none; partial: that intercept is free
g <- rbind(cbind(items(150), who = "client"), cbind(items(130), who = "therapist"))
g[g$who == "therapist", "i3"] <- g[g$who == "therapist", "i3"] + .5
g[g$who == "therapist", 1:6] <- g[g$who == "therapist", 1:6] + .3
g[sample(280, 25), "i6"] <- NA
fits <- list(
  configural = cfa(two, g, std.lv = TRUE, group = "who", missing = "ml", control = tight),
  metric = cfa(two, g, std.lv = TRUE, group = "who", missing = "ml", group.equal = "loadings", control = tight),
  scalar = cfa(two, g, std.lv = TRUE, group = "who", missing = "ml", group.equal = c("loadings", "intercepts"), control = tight),
  partial = cfa(two, g, std.lv = TRUE, group = "who", missing = "ml", group.equal = c("loadings", "intercepts"),
                group.partial = "i3~1", control = tight),
  strict = cfa(two, g, std.lv = TRUE, group = "who", missing = "ml", group.equal = c("loadings", "intercepts", "residuals"),
               control = tight))
groups <- c(list(data = g), lapply(fits, told))
# clusters: families of two or three, in one group, complete and with holes
n <- 90; family <- rep(1:n, times = rep(2:3, length.out = n)); u <- rnorm(n)[family]
k <- items(length(family)); k <- as.data.frame(round(k + u * .5, 2)); k$family <- family
robust <- c("chisq.scaled", "pvalue.scaled", "chisq.scaling.factor", "cfi.robust", "tli.robust", "rmsea.robust",
            "rmsea.ci.lower.robust", "rmsea.ci.upper.robust")
kh <- k; kh[sample(nrow(k), 20), "i4"] <- NA
clustered <- list(
  data = k, holes = kh,
  complete = told(cfa(two, k, std.lv = TRUE, estimator = "MLR", cluster = "family", meanstructure = TRUE, control = tight), robust),
  missing = told(cfa(two, kh, std.lv = TRUE, estimator = "MLR", cluster = "family", missing = "ml", control = tight), robust))
# two levels: sessions in persons
persons <- 60; s <- rep(1:persons, times = rep(4:8, length.out = persons)); m <- length(s)
b <- rnorm(persons)[s]; w <- rnorm(m)
x <- sapply(1:4, function(j) 4 + c(.8, .6, .9, .7)[j] * b + c(.5, .7, .6, .4)[j] * w + .3 * rnorm(persons)[s] + c(.7, .6, .8, .9)[j] * rnorm(m))
x <- as.data.frame(round(x, 2)); names(x) <- paste0("i", 1:4); x$person <- s
levels2 <- "level: 1\n fw =~ w1*i1 + w2*i2 + w3*i3 + w4*i4\n i1 ~~ a1*i1\n i2 ~~ a2*i2\n i3 ~~ a3*i3\n i4 ~~ a4*i4
level: 2\n fb =~ b1*i1 + b2*i2 + b3*i3 + b4*i4\n i1 ~~ c1*i1\n i2 ~~ c2*i2\n i3 ~~ c3*i3\n i4 ~~ c4*i4
omega_within := (w1+w2+w3+w4)^2 / ((w1+w2+w3+w4)^2 + a1+a2+a3+a4)
omega_between := (b1+b2+b3+b4)^2 / ((b1+b2+b3+b4)^2 + c1+c2+c3+c4)"
two_level <- list(data = x, fit = told(cfa(levels2, x, cluster = "person", std.lv = TRUE, control = tight)))
# dyads: mother and father of a family rate the same three items
p <- 160; mo <- rnorm(p); fa <- .5 * mo + .85 * rnorm(p); own <- matrix(rnorm(3 * p), p)
dy <- as.data.frame(round(cbind(sapply(1:3, function(j) 4 + c(.9, .7, 1)[j] * mo + .5 * own[, j] + .6 * rnorm(p)),
                                sapply(1:3, function(j) 4.2 + c(.9, .7, 1)[j] * fa + .5 * own[, j] + .6 * rnorm(p))), 2))
names(dy) <- c("m1", "m2", "m3", "f1", "f2", "f3")
pairs <- "m1 ~~ f1\n m2 ~~ f2\n m3 ~~ f3"
metric <- paste("mother =~ l1*m1 + l2*m2 + l3*m3\n father =~ l1*f1 + l2*f2 + l3*f3\n father ~~ NA*father", pairs, sep = "\n")
scalar <- paste(metric, "m1 ~ t1*1\n f1 ~ t1*1\n m2 ~ t2*1\n f2 ~ t2*1\n m3 ~ t3*1\n f3 ~ t3*1\n father ~ NA*1", sep = "\n")
free <- paste("mother =~ m1 + m2 + m3\n father =~ f1 + f2 + f3", pairs, sep = "\n")
dyads <- list(data = dy, configural = told(cfa(free, dy, std.lv = TRUE, meanstructure = TRUE, control = tight)),
              metric = told(cfa(metric, dy, std.lv = TRUE, meanstructure = TRUE, control = tight)),
              scalar = told(cfa(scalar, dy, std.lv = TRUE, meanstructure = TRUE, control = tight)))
write_reference(list(whole = whole, groups = groups, clustered = clustered, two_level = two_level, dyads = dyads),
                packages = c("lavaan"))
