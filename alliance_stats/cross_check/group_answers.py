"""Groups, pooled effects, agreement and reliability, put to pingouin and statsmodels."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import integrate

from alliance_stats.cross_check.second_answer import (
    Answer,
    both,
    by_definition,
    known_names,
    library,
    not_asked,
)
from alliance_stats.evidence import MetaAnalysis
from alliance_stats.groups import CoderAgreement, GroupComparison, ThemeComparison
from alliance_stats.groups.comparing.group_comparison import OutcomeComparison
from alliance_stats.groups.comparing.no_difference import bayes_factor_row
from alliance_stats.scales import ScaleReliability

__all__ = ["of_coders", "of_groups", "of_meta_analysis", "of_reliability", "of_themes"]

_G = (
    "g is exact here, by the gamma function (Hedges 1981, doi:10.3102/10769986006002107); theirs "
    "is multiplied by 1 - 3 / (4 n - 9), an approximation of it"
)
_EXACT_RANKS = (
    "with ties, p is of all arrangements of the ties here (Hollander, Wolfe & Chicken 2014, "
    "doi:10.1002/9781119196037); theirs is the normal approximation"
)
_CR2 = (
    "CR2 with Satterthwaite's df here (Bell & McCaffrey 2002), which allows for few clusters; "
    "theirs is CR1, too small with few"
)
_ODDS = (
    "the conditional maximum-likelihood odds ratio here, as R's fisher.test (Cornfield 1956); "
    "theirs is that of the sample"
)
_PRIOR = 0.707  # scale of the Cauchy prior
_P = 1e-6  # of a p-value: the tails are computed otherwise


def of_themes(result: ThemeComparison) -> Iterator[Answer]:
    """Check the comparison within."""
    yield from of_groups(result.comparison)


def of_groups(result: GroupComparison) -> Iterator[Answer]:
    """Check each outcome by the test it was given."""
    for one in result.comparisons:
        test = one.finding.test
        if test in _TESTS:
            yield from _TESTS[test](one)
        else:
            yield not_asked(
                one.outcome.name, "p_value", one.finding.p_value, "pingouin",
                f"it has no counterpart of the {one.finding.method}",
            )  # fmt: skip


def _t(one: OutcomeComparison) -> Iterator[Answer]:
    import pingouin

    outcome, finding = one.outcome, one.finding
    x, y = outcome.of(0), outcome.of(1)
    paired = finding.test == "paired_t"
    who = library("pingouin", "ttest")
    found = known_names(
        pingouin.ttest(x, y, paired=paired, correction=finding.test == "welch")
    ).iloc[0]
    name = outcome.name
    yield both(name, "statistic", finding.statistic, found["T"], who)
    yield both(name, "df", finding.df, found["dof"], who)
    yield both(name, "p_value", finding.p_value, found["p_val"], who, close=_P)
    if paired:
        return
    who = library("pingouin", "compute_effsize")
    from alliance_stats.effect_sizes import hedges_g

    g = hedges_g(x, y)
    theirs = pingouin.compute_effsize(x, y, eftype="hedges")
    yield both(name, "hedges_g", g.estimate, theirs, who, known=by_definition(_G, explains=0.02))
    # ours is that of pingouin: the integral itself is the second engine
    row: dict[str, Any] = bayes_factor_row(outcome, _PRIOR)
    again = _jzs(float(row["statistic"]), len(x), len(y))
    who = "the integral of Rouder et al. (2009), by scipy"
    yield both(name, "bayes_factor", row["bf10"], again, who, close=1e-5)


def _jzs(t: float, n: int, m: int) -> float:
    """Integrate equation 1 of Rouder et al. (2009) over the variance g of the prior."""
    size, df = n * m / (n + m), n + m - 2

    def weighted(g: float) -> float:
        wide = 1.0 + size * g * _PRIOR**2
        inside = wide**-0.5 * (1.0 + t**2 / (wide * df)) ** (-(df + 1) / 2.0)
        return float(inside * (2.0 * np.pi) ** -0.5 * g**-1.5 * np.exp(-0.5 / g))

    value, _ = integrate.quad(weighted, 0.0, np.inf, epsabs=0.0, epsrel=1e-8, limit=200)
    return float(value / (1.0 + t**2 / df) ** (-(df + 1) / 2.0))


def _frame(one: OutcomeComparison) -> pd.DataFrame:
    outcome = one.outcome
    found = {"y": outcome.values, "group": np.asarray(outcome.labels)[outcome.group]}
    return pd.DataFrame(found | ({"x": outcome.baseline} if outcome.baseline is not None else {}))


def _f(one: OutcomeComparison) -> Iterator[Answer]:
    import pingouin

    welch = one.finding.test == "welch_anova"
    ask = pingouin.welch_anova if welch else pingouin.anova
    found = known_names(ask(_frame(one), dv="y", between="group")).iloc[0]
    who = library("pingouin", "welch_anova" if welch else "anova")
    yield both(one.outcome.name, "statistic", one.finding.statistic, found["F"], who)
    yield both(one.outcome.name, "p_value", one.finding.p_value, found["p_unc"], who, close=_P)


def _ancova(one: OutcomeComparison) -> Iterator[Answer]:
    import pingouin

    found = known_names(pingouin.ancova(_frame(one), dv="y", between="group", covar="x")).set_index(
        "Source"
    )
    who = library("pingouin", "ancova")
    p, f = one.finding.p_value, one.finding.statistic
    ours = f if one.finding.statistic_name == "F" else f**2
    yield both(one.outcome.name, "F", ours, found.loc["group", "F"], who)
    yield both(one.outcome.name, "p_value", p, found.loc["group", "p_unc"], who, close=_P)


def _ranks(one: OutcomeComparison) -> Iterator[Answer]:
    import pingouin

    outcome, finding = one.outcome, one.finding
    if finding.test == "kruskal_wallis":
        who = library("pingouin", "kruskal")
        found = known_names(pingouin.kruskal(_frame(one), dv="y", between="group")).iloc[0]
        yield both(outcome.name, "statistic", finding.statistic, found["H"], who)
        yield both(outcome.name, "p_value", finding.p_value, found["p_unc"], who, close=_P)
        return
    x, y = outcome.of(0), outcome.of(1)
    who = library("pingouin", "mwu")
    tied = len(np.unique(outcome.values)) < len(outcome.values)
    found = known_names(pingouin.mwu(x, y, method="asymptotic" if tied else "exact")).iloc[0]
    yield both(outcome.name, "cliffs_delta", finding.estimate, _delta(x, y), "counted pair by pair")
    yield both(
        outcome.name, "p_value", finding.p_value, found["p_val"], who, close=_P,
        scale=1.0, known=by_definition(_EXACT_RANKS if tied else "", explains=0.1),
    )  # fmt: skip


def _delta(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.sign(x[:, None] - y[None, :]).mean())


def _signed(one: OutcomeComparison) -> Iterator[Answer]:
    import pingouin

    x, y = one.outcome.of(0), one.outcome.of(1)
    apart = one.outcome.differences
    plain = len(np.unique(np.abs(apart))) == len(apart) and not (apart == 0).any()
    found = known_names(pingouin.wilcoxon(x, y, method="exact" if plain else "approx")).iloc[0]
    yield both(
        one.outcome.name, "p_value", one.finding.p_value, found["p_val"],
        library("pingouin", "wilcoxon"), close=_P, scale=1.0,
        known=by_definition("" if plain else _EXACT_RANKS, explains=0.1),
    )  # fmt: skip


def _shares(one: OutcomeComparison) -> Iterator[Answer]:
    from statsmodels.stats.contingency_tables import Table2x2
    from statsmodels.stats.proportion import confint_proportions_2indep

    x, y = one.outcome.of(0), one.outcome.of(1)
    a, b, n, m = int(x.sum()), int(y.sum()), len(x), len(y)
    low, high = confint_proportions_2indep(a, n, b, m, compare="diff", method="newcomb")
    ours = one.finding.interval(0.95)
    who = library("statsmodels", "confint_proportions_2indep")
    yield both(one.outcome.name, "estimate", one.finding.estimate, a / n - b / m, "divided by hand")
    yield both(one.outcome.name, "conf_low", ours[0], low, who, scale=1.0)
    yield both(one.outcome.name, "conf_high", ours[1], high, who, scale=1.0)
    from alliance_stats.effect_sizes import odds_ratio

    if min(a, b, n - a, m - b) > 0:
        who = library("statsmodels", "Table2x2")
        theirs = Table2x2(np.array([[a, n - a], [b, m - b]]), shift_zeros=False)
        found = odds_ratio(a, n, b, m)
        yield both(
            one.outcome.name,
            "odds_ratio",
            found.estimate,
            theirs.oddsratio,
            who,
            known=by_definition(_ODDS, explains=0.5),
        )


def _pairs(one: OutcomeComparison) -> Iterator[Answer]:
    from statsmodels.stats.contingency_tables import mcnemar

    x, y = one.outcome.of(0), one.outcome.of(1)
    table = np.array([[((x == i) & (y == j)).sum() for j in (1, 0)] for i in (1, 0)])
    theirs = mcnemar(table, exact=True).pvalue
    mid = one.finding.test == "mcnemar_mid_p"
    definition = (
        "mid-p here (Fagerland, Lydersen & Laake 2013, doi:10.1186/1471-2288-13-91); theirs is "
        "the exact conditional p"
    )
    yield both(
        one.outcome.name, "p_value", one.finding.p_value, theirs,
        library("statsmodels", "mcnemar"), close=_P, scale=1.0,
        known=by_definition(definition if mid else "", explains=0.25),
    )  # fmt: skip


def _robust(one: OutcomeComparison) -> Iterator[Answer]:
    import statsmodels.api as sm

    outcome, finding = one.outcome, one.finding
    columns = [np.ones(len(outcome.values)), outcome.group == 0]
    if outcome.baseline is not None:
        columns.append(outcome.baseline)
    X = np.column_stack(columns).astype(float)
    fit = sm.OLS(outcome.values, X).fit(
        cov_type="cluster", cov_kwds={"groups": outcome.cluster}, use_t=True
    )
    who = library("statsmodels", "OLS")
    yield both(outcome.name, "estimate", finding.estimate, fit.params[1], who)
    yield both(
        outcome.name,
        "std_error",
        finding.std_error,
        fit.bse[1],
        who,
        known=by_definition(_CR2, explains=1.0),
    )


def _mixed(one: OutcomeComparison) -> Iterator[Answer]:
    from alliance_stats.cross_check.model_answers import of_linear_mixed
    from alliance_stats.groups.comparing.cluster_tests import fit_mixed_model

    if one.outcome.cluster is None:
        return
    for answer in of_linear_mixed(fit_mixed_model(one.outcome)):
        yield Answer(
            f"{one.outcome.name}: {answer.term}", answer.measure, answer.ours, answer.theirs,
            answer.library, answer.allowed, answer.kind, answer.reason, answer.explained,
        )  # fmt: skip


_TESTS: Mapping[str, Callable[[OutcomeComparison], Iterator[Answer]]] = {
    "welch": _t,
    "student": _t,
    "paired_t": _t,
    "anova": _f,
    "welch_anova": _f,
    "ancova": _ancova,
    "mann_whitney": _ranks,
    "kruskal_wallis": _ranks,
    "wilcoxon": _signed,
    "fisher": _shares,
    "fisher_mid_p": _shares,
    "boschloo": _shares,
    "mcnemar": _pairs,
    "mcnemar_mid_p": _pairs,
    "cluster_robust": _robust,
    "mixed_model": _mixed,
}


_LEVELS = "statsmodels pools effects of one level; R's metafor has three"
_TAU = "statsmodels has tau2 by DerSimonian-Laird and Paule-Mandel only; R's metafor has {}"
_BELOW_ZERO = (
    "a variance below zero is set to zero here, as DerSimonian and Laird do (1986, "
    "doi:10.1016/0197-2456(86)90046-2); theirs is left below zero"
)
_MISSING = (
    "pingouin's intraclass_corr takes no missing ratings "
    "(https://github.com/raphaelvallat/pingouin/issues/231)"
)
_OMEGA = "pingouin has Cronbach's alpha only; R's psych and lavaan have omega"
_KRIPPENDORFF = "statsmodels has no Krippendorff alpha; R's irr has"


def of_meta_analysis(result: MetaAnalysis) -> Iterator[Answer]:
    """Check tau2 if statsmodels has the estimator, and the pooling given tau2 by WLS."""
    import statsmodels.api as sm
    from statsmodels.stats.meta_analysis import combine_effects

    effects = result.effects
    terms = [str(term) for term in effects.terms]
    if effects.studies is not None:
        for term, b in zip(terms, result.fit.beta, strict=True):
            yield not_asked(term, "estimate", b, "statsmodels", _LEVELS)
        return
    weights = 1.0 / (effects.v + result.tau2)
    theirs = sm.WLS(effects.y, effects.X, weights=weights).fit(cov_type="fixed_scale")
    who = library("statsmodels", "WLS given tau2")
    errors = np.sqrt(np.diag(result.fit.vcov))
    for i, term in enumerate(terms):
        yield both(term, "estimate", result.fit.beta[i], theirs.params[i], who, scale=errors[i])
        yield both(term, "std_error before adjusting", errors[i], theirs.bse[i], who)
    who = library("statsmodels", "combine_effects")
    asked = {"dl": "dl", "pm": "iterated"}.get(str(result.estimator).lower())
    if result.estimator == "fixed" or not result.is_pooled:
        return
    if asked is None:
        reason = _TAU.format(str(result.estimator))
        yield not_asked("variance between studies", "tau2", result.tau2, who, reason)
    found = combine_effects(effects.y, effects.v, method_re=asked or "dl", atol=1e-12)
    if asked is not None:
        yield both("variance between studies", "tau2", result.tau2, found.tau2, who,
                   close=1e-5, scale=max(result.tau2, float(effects.v.mean())),
                   known=by_definition(_BELOW_ZERO if found.tau2 < 0.0 else ""))  # fmt: skip
    q = result.glance().iloc[0]
    if "q" in q:
        yield both("heterogeneity", "q", q["q"], found.q, who)


def of_coders(result: CoderAgreement) -> Iterator[Answer]:
    """Check kappas by statsmodels and intraclass correlations by pingouin."""
    from statsmodels.stats.inter_rater import aggregate_raters, cohens_kappa, fleiss_kappa

    ratings, complete = result.ratings, not np.isnan(result.ratings).any()
    places = np.searchsorted(result.categories, np.nan_to_num(ratings))
    for row in result.tidy().to_dict("records"):
        term, coders, ours = str(row["term"]), str(row["coders"]), float(row["estimate"])
        label = f"{term} ({coders})"
        if term.startswith("Cohen kappa"):
            pair = [result.coders.index(name) for name in coders.split(", ")] if len(
                result.coders) > 2 else [0, 1]  # fmt: skip
            known = ~np.isnan(ratings[:, pair]).any(axis=1)
            k = len(result.categories)
            table = np.zeros((k, k))
            np.add.at(table, tuple(places[known][:, pair].T), 1)
            kind = next((w for w in ("linear", "quadratic") if w in term), None)
            weights = np.asarray(result.categories, dtype=float) if kind else None
            theirs = cohens_kappa(table, weights=weights, wt={"linear": "linear",
                                  "quadratic": "quadratic"}.get(str(kind)))  # fmt: skip
            yield both(label, "estimate", ours, theirs.kappa,
                       library("statsmodels", "cohens_kappa"))  # fmt: skip
        elif term == "Fleiss kappa" and complete:
            counts, _ = aggregate_raters(places, n_cat=len(result.categories))
            yield both(label, "estimate", ours, fleiss_kappa(counts),
                       library("statsmodels", "fleiss_kappa"))  # fmt: skip
        elif term.startswith("Krippendorff"):
            yield not_asked(label, "estimate", ours, "statsmodels", _KRIPPENDORFF)
    yield from _intraclass(result, complete)


def _intraclass(result: CoderAgreement, complete: bool) -> Iterator[Answer]:
    import pingouin

    table = result.tidy()
    own = table[table["term"].str.startswith("ICC")].set_index("term")
    if own.empty:
        return
    who = library("pingouin", "intraclass_corr")
    if not complete:
        for term, row in own.iterrows():
            yield not_asked(str(term), "estimate", row["estimate"], who, _MISSING)
        return
    n, k = result.ratings.shape
    long = pd.DataFrame({"case": np.repeat(np.arange(n), k), "coder": np.tile(np.arange(k), n),
                         "rating": result.ratings.ravel()})  # fmt: skip
    found = pingouin.intraclass_corr(long, targets="case", raters="coder", ratings="rating")
    theirs = found.set_index(found.columns[0])["ICC"]
    old = dict(zip(("ICC1", "ICC2", "ICC3", "ICC1k", "ICC2k", "ICC3k"),
                   ("ICC(1,1)", "ICC(A,1)", "ICC(C,1)", "ICC(1,k)", "ICC(A,k)", "ICC(C,k)"),
                   strict=True))  # fmt: skip
    theirs = theirs.rename(index=old)
    for term, row in own.iterrows():
        if term in theirs.index:
            yield both(str(term), "estimate", row["estimate"], theirs[term], who)


def of_reliability(result: ScaleReliability) -> Iterator[Answer]:
    """Check alpha."""
    import pingouin

    for one in result.coefficients:
        if one.term == "alpha" and one.about == "scale":
            theirs, limits = pingouin.cronbach_alpha(pd.DataFrame(result.answers), ci=0.95)
            who = library("pingouin", "cronbach_alpha")
            yield both("alpha", "estimate", one.estimate, theirs, who)
            low, high = one.limits(0.95)
            # pingouin gives three decimals
            yield both("alpha", "conf_low", low, limits[0], who, close=6e-4, scale=1.0)
            yield both("alpha", "conf_high", high, limits[1], who, close=6e-4, scale=1.0)
        elif one.term.startswith("omega"):
            yield not_asked(one.term, "estimate", one.estimate, "pingouin", _OMEGA)
