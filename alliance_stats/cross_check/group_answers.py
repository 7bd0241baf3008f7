"""Comparisons of groups, put to pingouin and statsmodels."""

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
from alliance_stats.groups import GroupComparison, ThemeComparison
from alliance_stats.groups.comparing.group_comparison import OutcomeComparison
from alliance_stats.groups.comparing.no_difference import bayes_factor_row

__all__ = ["of_groups", "of_themes"]

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
