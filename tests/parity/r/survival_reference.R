# Outcomes after leaving by reference: lme4 fits the outcomes seen, and all else is dense algebra.
# Means of the unseen given the seen are X_u b + V_us V_ss^-1 (y - X_s b), with the rows of X by
# method; the completed data are analysed by generalised least squares at lme4's variances; the
# standard error is the jackknife over therapists.
source("common.R")
suppressPackageStartupMessages(library(lme4))
set.seed(11)
persons <- data.frame(person = sprintf("p%02d", 1:72), therapist = sprintf("t%02d", rep(1:12, 6)))
persons$arm <- ifelse(seq_len(72) %% 2 == 0, "new", "usual")
persons$own <- rnorm(72, 0, 2.5); persons$lift <- rnorm(12, 0, 1.5)[rep(1:12, 6)]
persons$last <- sample(0:4, 72, TRUE, c(.1, .12, .13, .15, .5))
rows <- merge(persons, data.frame(time = 0:4)); rows <- rows[order(rows$person, rows$time), ]
rows$y <- with(rows, 30 + own + lift - time - 1.2 * time * (arm == "new") + rnorm(nrow(rows), 0, 2))
rows$seen <- rows$time <= rows$last & rows$person != "p07"   # one person was never rated
form <- y ~ time * arm + (1 | therapist/person)
rows$arm <- factor(rows$arm, c("usual", "new"))
X_of <- function(d, arm = d$arm, time = d$time) { new <- as.numeric(arm == "new"); cbind(1, time, new, time * new) }
estimates <- function(d) {
  fit <- lmer(form, d[d$seen, ], control = lmerControl(optCtrl = list(ftol_abs = 1e-12, xtol_abs = 1e-12)))
  v <- as.data.frame(VarCorr(fit)); vp <- v$vcov[v$grp == "person:therapist"]
  vt <- v$vcov[v$grp == "therapist"]; s2 <- v$vcov[v$grp == "Residual"]
  b <- unname(fixef(fit))
  V <- vt * outer(d$therapist, d$therapist, "==") + vp * outer(d$person, d$person, "==") + s2 * diag(nrow(d))
  s <- d$seen; W <- V[!s, s] %*% solve(V[s, s]); u <- d[!s, ]; o <- d[s, ]
  last <- sapply(u$person, function(p) { t <- o$time[o$person == p]; if (length(t)) max(t) else NA })
  own <- drop(X_of(u) %*% b); usual <- drop(X_of(u, "usual") %*% b)
  parted <- drop((X_of(u, u$arm, ifelse(is.na(last), 0, last)) - X_of(u, "usual", ifelse(is.na(last), 0, last))) %*% b)
  parted[is.na(last)] <- 0
  mine <- drop(X_of(o) %*% b); swapped <- ifelse(o$person %in% u$person, drop(X_of(o, "usual") %*% b), mine)
  pull <- drop(W %*% (o$y - mine))
  means <- list(own + pull, usual + parted + pull, usual + drop(W %*% (o$y - swapped)), usual + pull)
  X <- X_of(d); iV <- solve(V)
  list(means = means, b = sapply(means, function(m) { y <- d$y; y[!s] <- m; solve(t(X) %*% iV %*% X, t(X) %*% iV %*% y)[4] }))
}
whole <- estimates(rows)
others <- sapply(unique(rows$therapist), function(t) estimates(rows[rows$therapist != t, ])$b)
n <- ncol(others)
se <- sqrt((n - 1) / n * rowSums((others - rowMeans(others))^2))
rows$y[!rows$seen] <- NA
write_reference(list(data = rows[, c("person", "therapist", "arm", "time", "y")], means = whole$means,
                     estimate = whole$b, std_error = se), "lme4")
