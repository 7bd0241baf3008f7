"""Signs and constants of core formulas, each with the tests that are to notice it."""

from dataclasses import dataclass

__all__ = ["CHANGES", "Change"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the code that is replaced, by what, and the tests (globs) that are to notice.

    `file` names the file where the same code stands in several.
    """

    formula: str
    line: str
    other: str
    tests: tuple[str, ...]
    file: str = ""


EFFECTS = ("tests/unit/test_effect_sizes.py", "tests/parity/test_groups_means.py")
GROUPS = ("tests/unit/test_groups_*.py", "tests/parity/test_groups_*.py")
CLUSTERED = ("tests/unit/test_effect_sizes.py", "tests/parity/test_groups_clustered.py")
CHANGE = ("tests/unit/test_change.py",)
LMM = ("tests/parity/test_lmm_*.py", "tests/unit/test_lmm_*.py", "tests/unit/test_elimination.py")
GLMM = ("tests/parity/test_glmm_*.py", "tests/unit/test_glmm*.py")
AFTER = ("tests/unit/test_after_fit_*.py", "tests/parity/test_after_fit_*.py")
POWER = ("tests/unit/test_power_formulas.py", "tests/unit/test_power_designs.py")
CURVES = ("tests/unit/test_survival_kaplan_meier.py", "tests/parity/test_survival_curves.py")
COX = ("tests/unit/test_survival_cox_model.py", "tests/parity/test_survival_cox.py")
FRAILTY = (
    "tests/unit/test_survival_frailty*.py",
    "tests/parity/test_survival_small_frailty.py",
    *COX,
)
COMPETING = ("tests/parity/test_survival_competing*.py", "tests/unit/test_survival_competing*.py")
SESSIONS = (
    "tests/unit/test_survival_discrete_hazard.py",
    "tests/parity/test_survival_discrete*.py",
)
AIC = ("tests/unit/test_survival_aic.py",)
UNSEEN = (
    "tests/unit/test_survival_dropout_sensitivity.py",
    "tests/unit/test_survival_shared*.py",
    "tests/unit/test_survival_reference*.py",
)
SHAPES = ("tests/parity/test_lmm_nlme.py", "tests/unit/test_lmm_algebra.py")
SCALES = ("tests/unit/test_scales.py", "tests/parity/test_scales_*.py")
PANEL = ("tests/unit/test_panel_*.py", "tests/parity/test_panel_*.py")
FAMILY = ("tests/unit/test_family_*.py", "tests/parity/test_family_*.py")
META = ("tests/unit/test_evidence_*.py", "tests/parity/test_evidence_meta.py")
ASSOCIATION = ("tests/unit/test_association*.py", "tests/parity/test_association_*.py")
TABLE_ONE = ("tests/unit/test_groups_themes.py", "tests/unit/test_groups_edges.py")
PRINTED = ("tests/unit/test_evidence_*.py", "tests/parity/test_evidence_relations.py")


def _c(formula: str, line: str, other: str, tests: tuple[str, ...], file: str = "") -> Change:
    return Change(formula, line, other, tests, file)


CHANGES = (
    # effect sizes and change
    _c("pooled SD", "sd_2**2) / (n_1 + n_2 - 2)", "sd_2**2) / (n_1 + n_2 - 1)", EFFECTS),
    _c(
        "noncentral t limits",
        "_noncentrality(statistic, df, 1.0 - alpha / 2.0)",
        "_noncentrality(statistic, df, 1.0 - alpha)",
        EFFECTS,
    ),
    _c(
        "SE of adjusted g",
        "math.sqrt((std_error / sd) ** 2 + d**2 / (2.0 * df))",
        "math.sqrt((std_error / sd) ** 2 + d**2 / df)",
        EFFECTS,
    ),
    _c(
        "root of harmonic n",
        "root = math.sqrt(1.0 / n_1 + 1.0 / n_2)",
        "root = math.sqrt(1.0 / n_1 - 0.1 / n_2)",
        EFFECTS,
        "standardised.py",
    ),
    _c(
        "superiority to Cliff's delta", "2.0 * ps.estimate - 1.0", "2.0 * ps.estimate - 0.9", GROUPS
    ),
    _c(
        "Newcombe's superiority",
        "limit * (1.0 - limit) * spread / (n_1 * n_2)",
        "limit * (1.0 + limit) * spread / (n_1 * n_2)",
        GROUPS,
    ),
    _c(
        "Wilson's centre",
        "(p + z**2 / (2 * n)) / (1 + z**2 / n)",
        "(p + z**2 / n) / (1 + z**2 / n)",
        GROUPS,
    ),
    _c(
        "Wilson's half width",
        "p * (1 - p) / n + z**2 / (4 * n**2)",
        "p * (1 - p) / n + z**2 / (2 * n**2)",
        GROUPS,
    ),
    _c(
        "Clopper-Pearson",
        "stats.beta.isf(alpha / 2.0, count + 1, n - count)",
        "stats.beta.isf(alpha / 2.0, count, n - count)",
        GROUPS,
    ),
    _c(
        "g of clusters",
        "rho * squares / n**2 + (1.0 - rho) / n",
        "rho * squares / n**2 + (1.0 + rho) / n",
        CLUSTERED,
    ),
    _c(
        "g from a model",
        "std_error**2 / total + d**2 / (2.0 * variance_df)",
        "std_error**2 / total + d**2 / variance_df",
        CLUSTERED,
    ),
    _c("Jacobson-Truax", "(y - x) / (math.sqrt(2.0) * error)", "(y - x) / error", CHANGE),
    _c("Hsu's index", "(s * math.sqrt(1.0 - r**2))", "(s * math.sqrt(1.0 - r))", CHANGE),
    _c(
        "true variance of change",
        "s1**2 + s2**2 - 2.0 * error**2 - 2.0 * covariance",
        "s1**2 + s2**2 - error**2 - 2.0 * covariance",
        CHANGE,
    ),
    _c(
        "critical change",
        "critical * sd * math.sqrt(2.0 * (1.0 -",
        "critical * sd * math.sqrt((1.0 -",
        CHANGE,
    ),
    # groups
    _c(
        "Welch's df",
        "1.0 / (a**2 / (x.size - 1) + b**2 / (y.size - 1))",
        "1.0 / (a**2 / x.size + b**2 / y.size)",
        GROUPS,
    ),
    _c(
        "Welch's F",
        "2.0 * (k - 2.0) * shift / (k**2 - 1.0)",
        "(k - 2.0) * shift / (k**2 - 1.0)",
        GROUPS,
    ),
    _c(
        "mid-p",
        "1.0 - point / 2.0 if first_only == second_only",
        "1.0 - point if first_only == second_only",
        GROUPS,
    ),
    # the mixed model
    _c(
        "REML constant",
        "N * (1.0 + np.log(2.0 * np.pi * rss / N))",
        "N * (1.0 + np.log(2.0 * np.pi * rss / (N - 1)))",
        LMM,
    ),
    _c(
        "Satterthwaite's df",
        "_finite_df(2.0 * variance**2, spread)",
        "_finite_df(variance**2, spread)",
        LMM,
    ),
    _c("Kenward-Roger E", "E = 1.0 / (1.0 - A2 / ell)", "E = 1.0 / (1.0 + A2 / ell)", LMM),
    _c(
        "Kenward-Roger V",
        "(1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))",
        "(1.0 - c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B))",
        LMM,
    ),
    _c(
        "Kenward-Roger df",
        "df = 4.0 + (ell + 2.0) / (ell * rho - 1.0)",
        "df = 4.0 + (ell + 1.0) / (ell * rho - 1.0)",
        (*LMM, *AFTER),
    ),
    _c("AR(1) whitening", "np.sqrt(1.0 - predicted**2)\n", "np.sqrt(1.0 + predicted**2)\n", SHAPES),
    _c(
        "AR(1) determinant",
        "log1p(-(self._predicted(eta) ** 2))",
        "log1p(-self._predicted(eta))",
        SHAPES,
    ),
    # generalized models
    _c(
        "logit third derivative",
        "outcome.trials * p * complement * (complement - p)",
        "outcome.trials * p * complement * complement",
        GLMM,
    ),
    _c(
        "probit weight",
        "y * up * (eta + up) + (n - y) * down * (down - eta)",
        "y * up * (eta - up) + (n - y) * down * (down - eta)",
        GLMM,
    ),
    _c(
        "normal density",
        "np.exp(-0.5 * eta * eta) / np.sqrt(2.0 * np.pi)",
        "np.exp(-0.5 * eta * eta) / np.sqrt(np.pi)",
        (*GLMM, *AFTER),
    ),
    _c(
        "quadrature's prior",
        "np.add.reduceat(log_density, starts) - u[k] ** 2 / 2.0",
        "np.add.reduceat(log_density, starts) - u[k] ** 2",
        GLMM,
    ),
    _c(
        "quadrature's constant",
        "np.log(s) - np.log(np.pi) / 2.0",
        "np.log(s) - np.log(np.pi)",
        GLMM,
    ),
    _c(
        "latent variance of cloglog",
        '"cloglog": np.pi**2 / 6.0',
        '"cloglog": np.pi**2 / 3.0',
        AFTER,
        "asked_model.py",
    ),
    _c(
        "latent variance of logit",
        '"logit": np.pi**2 / 3.0',
        '"logit": np.pi**2 / 6.0',
        AFTER,
        "asked_model.py",
    ),
    _c(
        "mean of a log link",
        "family.mean(eta + sd**2 / 2.0)",
        "family.mean(eta + sd**2)",
        (*GLMM, *AFTER),
    ),
    # after a fit
    _c(
        "Tukey's range",
        "range_sf(np.sqrt(2.0) * abs(t), n_means, v)",
        "range_sf(abs(t), n_means, v)",
        AFTER,
    ),
    _c(
        "Bonferroni",
        "(1.0 - conf_level) / (2.0 * max(n, 1))",
        "(1.0 - conf_level) / max(n, 1)",
        AFTER,
    ),
    _c("slope's difference", "(-1.0, -2.0 / 3.0)", "(-1.0, -1.0 / 3.0)", AFTER),
    # curves
    _c(
        "Kaplan-Meier",
        "np.cumprod(_left(table) / table.risk)",
        "np.cumprod(_left(table) / (table.risk + 1))",
        CURVES,
    ),
    _c(
        "Aalen-Johansen",
        "incidence=np.cumsum(before * hazard, axis=1)",
        "incidence=np.cumsum(survival * hazard, axis=1)",
        COMPETING,
    ),
    _c(
        "log-rank variance",
        "weight**2 * d * np.divide(n - d, n - 1",
        "weight**2 * d * np.divide(n, n - 1",
        CURVES,
    ),
    _c(
        "Fleming-Harrington weight",
        "before**rho * (1.0 - before) ** gamma",
        "before**rho * (1.0 + before) ** gamma",
        CURVES,
    ),
    _c("Gray's weight", "(1.0 - pooled_before) ** rho", "(1.0 + pooled_before) ** rho", COMPETING),
    _c(
        "Gray's ties",
        "np.where(other > 1, 1.0 - _divide(other - 1.0, n - 1.0), 1.0)",
        "np.where(other > 1, 1.0, 1.0)",
        COMPETING,
    ),
    # Cox, frailty, Fine-Gray
    _c("Efron's powers", "w * f**power * inverse**2", "w * f * inverse**2", COX),
    _c("concordance of ties", "(better + tied / 2.0).sum()", "(better + tied).sum()", COX),
    _c("test of a frailty", "stats.chi2.sf(gain, 1)) / 2.0", "stats.chi2.sf(gain, 1))", FRAILTY),
    _c(
        "censoring's martingale",
        "q * (n_moved / risk**2)",
        "q * (n_moved / risk)",
        (*COX, "tests/parity/test_survival_late_entry.py"),
    ),
    # by session and unseen
    _c(
        "median ratio of two units",
        "LOG_MEDIAN_RATIO = float(np.sqrt(2.0) * ",
        "LOG_MEDIAN_RATIO = float(",
        (*GLMM, *SESSIONS),
    ),
    _c(
        "survival of hazards",
        "np.cumprod(1.0 - hazard, axis=0)",
        "np.cumprod(1.0 - hazard / 2.0, axis=0)",
        SESSIONS,
    ),
    _c(
        "cluster correction",
        "meat = summed @ summed.T * n / (n - 1.0)",
        "meat = summed @ summed.T",
        (*COMPETING, *SESSIONS),
    ),
    _c("Rubin's old df", "(m - 1.0) / share**2", "(m - 1.0) / share", UNSEEN),
    _c(
        "Barnard-Rubin",
        "(c + 1.0) / (c + 3.0) * c * (1.0 - share)",
        "(c + 1.0) / (c + 3.0) * c",
        UNSEEN,
    ),
    _c(
        "shared likelihood",
        "self.count * np.log(2 * np.pi * s2)",
        "self.count * np.log(np.pi * s2)",
        UNSEEN,
    ),
    _c(
        "current value",
        "value = s * (fixed + channel.cluster * v[data.at_risk])",
        "value = s * fixed",
        UNSEEN,
    ),
    _c("hazard at a value of 0", "-= channel.centre * unit_vector", "-= 0.0", UNSEEN),
    _c("jackknife", "spread = (n - 1.0) / n *", "spread = 1.0 / n *", UNSEEN),
    _c("copied reference", "columns(seen) - columns(there(seen))", "columns(seen)", UNSEEN),
    # evidence
    _c("d to log odds", "= np.pi / np.sqrt(3.0)", "= np.pi / np.sqrt(2.0)", META),
    _c("printed d to OR", "d * np.pi / np.sqrt(3.0)", "d * np.pi / np.sqrt(2.0)", PRINTED),
    _c("printed epsilon", "linspace(1.0 / levels, 1.0,", "linspace(0.5 / levels, 0.9,", PRINTED),
    _c("printed Sidak", "np.log1p(-min(p, ", "np.log1p(min(p, ", PRINTED),
    _c("printed mid-p", "- own / 2.0)", "- own)", PRINTED),
    _c("printed McNemar", "gap = 2.0 * more - changed", "gap = more - changed", PRINTED),
    # association
    _c("Spearman's error", "1.0 + r**2 / 2.0 if method", "1.0 + r**2 if method", ASSOCIATION),
    _c(
        "Kendall's error",
        "np.sqrt(0.437 / (n - 4 - given))",
        "np.sqrt(0.437 / (n - 3 - given))",
        ASSOCIATION,
    ),
    _c(
        "influence on r",
        "u * v - r * (u**2 + v**2) / 2.0",
        "u * v - r * (u**2 + v**2)",
        ASSOCIATION,
    ),
    _c("Fisher's z", "left = n - 3 - given", "left = n - 2 - given", ASSOCIATION),
    _c(
        "Greenhouse-Geisser",
        "np.trace(E) ** 2 / (k * (E * E).sum())",
        "np.trace(E) ** 2 / ((k + 1) * (E * E).sum())",
        ASSOCIATION,
    ),
    _c(
        "Huynh-Feldt", "((df_error + 1.0) * k * gg - 2.0)", "(df_error * k * gg - 2.0)", ASSOCIATION
    ),
    _c(
        "partial eta limits",
        "limits[0] / (limits[0] + df_error)",
        "limits[0] / (limits[0] + 1.0)",
        ASSOCIATION,
    ),
    _c("HC3", "/ (1.0 - leverage))[:, None]", "/ (1.0 - leverage) ** 0.5)[:, None]", ASSOCIATION),
    _c("Cook's distance", "leverage / (p * s2", "leverage / (s2", ASSOCIATION),
    _c(
        "deleted residuals",
        "e**2 / (1.0 - leverage)) / (n - p - 1)",
        "e**2) / (n - p)",
        ASSOCIATION,
    ),
    # scales
    _c("Cronbach's alpha", "return k / (k - 1) * (1.0 -", "return k / k * (1.0 -", SCALES),
    _c(
        "error of omega",
        "2.0 * common * own / whole",
        "common * own / whole",
        SCALES,
        "reliability.py",
    ),
    _c(
        "item with the rest",
        "covariance.sum() - 2.0 * covariance.sum(axis=1)",
        "covariance.sum() - covariance.sum(axis=1)",
        SCALES,
    ),
    # session to session
    _c("lagged likelihood", "np.log(variances).sum(axis=(0, 1, 3))", "0.0", PANEL),
    _c("likelihood's scale", "float(n_seen @ np.log(sd))", "float(n_seen @ sd)", PANEL),
    # families
    _c("control chart", "step / math.sqrt(1.0 - self.auto", "step / (1.0 - self.auto", FAMILY),
    _c("prediction", "stretch = np.sqrt(1.0 + 1.0 / n)", "stretch = np.sqrt(1.0)", FAMILY),
    # meta-analysis
    _c("I2 of fixed effects", "100.0 * (q - q_df) / q", "100.0 * (q - q_df - 1) / q", META),
    _c("I2", "100.0 * self.tau2 / (self.tau2 + typical)", "100.0 * self.tau2 / typical", META),
    _c(
        "Q profile",
        "tail = (1.0 - conf_level) / 2.0",
        "tail = 1.0 - conf_level",
        META,
        "sampled_effects.py",
    ),
    # what once nothing noticed
    _c(
        "AIC of hazards",
        '"aic": [2.0 * n_parameters - 2.0 * self.fit.log_lik]',
        '"aic": [2.0 * n_parameters - self.fit.log_lik]',
        AIC,
    ),
    _c(
        "AIC of competing hazards",
        '"aic": [2.0 * n_parameters - 2.0 * self.log_lik]',
        '"aic": [2.0 * n_parameters - self.log_lik]',
        AIC,
    ),
    _c(
        "AIC of a Cox model",
        "[2.0 * (n_parameters - log_lik)]",
        "[2.0 * n_parameters - log_lik]",
        AIC,
    ),
    _c("shares by units", ".drop_duplicates(unit)", "", UNSEEN, "pattern_mixture.py"),
    _c("SMD", "np.asarray(cov_2)) / 2.0", "np.asarray(cov_2))", TABLE_ONE),
    _c("SMD of categories", "np.sum(along[known] ** 2 /", "np.max(along[known] ** 2 /", TABLE_ONE),
    _c("power of therapists' means", "of_person[:, None] / sizes", "of_person[:, None]", POWER),
    _c("df of therapists' means", "else k - 1.0 - n_of_therapists", "else k - 1.0", POWER),
    _c("power of cluster means", "of_member / m) / k", "of_member) / k", POWER),
)
