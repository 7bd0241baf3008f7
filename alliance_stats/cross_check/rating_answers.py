"""Pooled effects, agreement of coders and reliability, put to statsmodels and pingouin."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from alliance_stats.cross_check.second_answer import Answer, both, by_definition, library, not_asked
from alliance_stats.evidence import MetaAnalysis
from alliance_stats.groups import CoderAgreement
from alliance_stats.scales import ScaleReliability

__all__ = ["of_coders", "of_meta_analysis", "of_reliability"]

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
