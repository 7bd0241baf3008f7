"""Tables of a fit's parameters: coefficients, SDs and correlations, predicted random effects."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from alliance_stats.account import Column, Phrase, Section
from alliance_stats.design.design import Design
from alliance_stats.design.groupings import Grouping, back_transform
from alliance_stats.engine.residual_correlation import Visits
from alliance_stats.engine.residual_shape import Covariate, Strata
from alliance_stats.engine.template import Template
from alliance_stats.estimates import Array, Coefficients, wald_interval
from alliance_stats.multilevel.clusters import CR2
from alliance_stats.multilevel.generalized_fit import GeneralizedFit
from alliance_stats.multilevel.linear_fit import LinearFit
from alliance_stats.multilevel.linear_functions import Inference, inference_on

__all__ = [
    "all_coefficients",
    "boundary_sentences",
    "coefficients",
    "dispersion_section",
    "dispersion_table",
    "effect_covariances",
    "effects_as_given",
    "fixed_table",
    "named_coefficients",
    "named_parameters",
    "ran_pars_table",
    "ran_vals_table",
    "random_section",
    "residual_values",
    "tidy_frame",
]

Fit = LinearFit | GeneralizedFit

COLUMNS = (
    "effect",
    "group",
    "level",
    "term",
    "estimate",
    "std_error",
    "statistic",
    "df",
    "p_value",
    "conf_low",
    "conf_high",
)


def tidy_frame(effect: object, columns: Mapping[str, object] | pd.DataFrame) -> pd.DataFrame:
    """Put columns into the shared order, filling those that do not apply."""
    if isinstance(columns, pd.DataFrame):
        columns = {name: columns[name].to_numpy() for name in columns}
    given = {"effect": effect, **columns}
    n = max(len(c) for c in given.values() if isinstance(c, list | np.ndarray))
    texts = {"effect", "group", "level", "term"}
    return pd.DataFrame(
        {c: given[c] if c in given else [None if c in texts else np.nan] * n for c in COLUMNS}
    )


def ran_pars_table(fit: Fit) -> pd.DataFrame:
    """SDs and correlations of the random effects, and the residual's parameters."""
    frames = [tidy_frame(np.empty(0, dtype=object), {})]  # there may be no others
    for grouping, covariance in zip(fit.design.groupings, fit.covariances, strict=True):
        names, values = sds_and_correlations(grouping, covariance)
        frames.append(
            tidy_frame("ran_pars", {"group": grouping.name, "term": names, "estimate": values})
        )
    if isinstance(fit, LinearFit) and not fit.problem.known:
        terms, levels, values = residual_values(fit)
        frames.append(
            tidy_frame(
                "ran_pars",
                {"group": "Residual", "level": levels, "term": terms, "estimate": values},
            )
        )
    return pd.concat(frames, ignore_index=True)


def random_section(fit: Fit) -> Section:
    """Return the random effects in words: SDs and correlations by grouping, then the residual."""
    rows: list[tuple[str | None, Phrase, float, str]] = []
    for grouping, covariance in zip(fit.design.groupings, fit.covariances, strict=True):
        _, values = sds_and_correlations(grouping, covariance)
        named = [pair for basis in grouping.terms for pair in _phrases(basis.names)]
        rows += [
            (grouping.name, phrase, value, kind)
            for (phrase, kind), value in zip(named, values, strict=True)
        ]
    if isinstance(fit, LinearFit) and not fit.problem.known:
        pairs = _pairs_of_visits(fit)
        for term, stratum, value in zip(*residual_values(fit), strict=True):
            words, kind = _RESIDUAL_WORDS[term.partition("_")[0]]
            of = stratum if stratum is not None else term.partition("__")[2]
            plain = term == "sd__Observation" and stratum is None
            phrase = Phrase("{}", ("residual",)) if plain else Phrase(words, pairs.get(term, (of,)))
            rows.append((None, phrase, value, kind))
    return Section(
        "Random effects",
        pd.DataFrame(rows, columns=["group", "parameter", "estimate", "kind"]),
        names=("group", "parameter"),
        measure="",
        kind="kind",
        lead="Random effects as standard deviations and correlations",
    )


_RESIDUAL_WORDS = {
    "sd": ("residual ({})", "number"),
    "delta": ("residual SD follows {}", "number"),
    "phi": ("residual correlation {}", "bounded"),
    "rho": ("residual correlation {}", "bounded"),
    "cor": ("residual correlation of {} and {}", "bounded"),
}


def _pairs_of_visits(fit: LinearFit) -> dict[str, tuple[str, str]]:
    """Return the visits of each correlation of an unstructured covariance."""
    correlation = None if fit.problem.shape is None else fit.problem.shape.correlation
    if not isinstance(correlation, Visits):
        return {}
    return {f"cor__{a}.{b}": (a, b) for a, b in itertools.combinations(correlation.labels, 2)}


def _phrases(names: tuple[str, ...]) -> list[tuple[Phrase, str]]:
    """Return SDs and correlations of one term in words, in the order of `_of_one_term`."""
    # an intercept's SD is no SD of what the fixed intercept stands for: it has words of its own
    called = ["intercepts" if name == "(Intercept)" else name for name in names]
    found = [(Phrase("SD of {}", (name,)), "number") for name in called]
    pairs = itertools.combinations(called, 2)
    return found + [(Phrase("correlation of {} and {}", pair), "bounded") for pair in pairs]


def residual_values(fit: LinearFit) -> tuple[list[str], list[str | None], list[float]]:
    """Terms, strata and values of the residual's parameters; no stratum where there is one."""
    shape, eta = fit.problem.shape, fit.eta
    if shape is None:
        return ["sd__Observation"], [None], [fit.sigma]
    parts = shape.parts(eta)
    strata = [
        (s, own) for s, own in zip(shape.spreads, parts, strict=False) if isinstance(s, Strata)
    ]
    rows: list[tuple[str, str | None, float]] = []
    for number, (stratum, own) in enumerate(strata):
        # of a second set of strata the SDs are ratios to those of the first
        term, unit = ("sd__Observation", fit.sigma) if number == 0 else ("sd_ratio", 1.0)
        rows += [
            (term, str(label), float(unit * sd))
            for label, sd in zip(stratum.labels, stratum.of_each(own), strict=True)
        ]
    if not strata:
        rows.append(("sd__Observation", None, fit.sigma))
    for spread, own in zip(shape.spreads, parts, strict=False):
        if isinstance(spread, Covariate):
            rows.append((f"delta__{spread.name}", None, spread.delta(own)))
    if shape.correlation is not None:
        rows += [(term, None, value) for term, value in shape.correlation.described(parts[-1])]
    terms, levels, values = (list(column) for column in zip(*rows, strict=True))
    return terms, levels, values


def named_parameters(fit: Fit) -> dict[str, float]:
    """SDs, correlations and residual parameters, named ``group|term`` or with a stratum.

    For a generalized model also the log dispersion's coefficients, ``dispersion|(Intercept)``.
    """
    values = {}
    for grouping, covariance in zip(fit.design.groupings, fit.covariances, strict=True):
        for term, value in zip(*sds_and_correlations(grouping, covariance), strict=True):
            values[f"{grouping.name}|{term}"] = value
    if isinstance(fit, GeneralizedFit):
        if fit.dispersion is not None:
            own = fit.log_dispersion[0]
            values |= zip((f"dispersion|{n}" for n in fit.dispersion.names), own, strict=False)
    elif not fit.problem.known:
        for term, level, value in zip(*residual_values(fit), strict=True):
            values[f"Residual|{term}" + ("" if level is None else f"|{level}")] = value
    return values


def sds_and_correlations(grouping: Grouping, covariance: Array) -> tuple[list[str], list[float]]:
    """Names and values of a grouping factor's SDs and correlations, term by term."""
    names: list[str] = []
    values: list[float] = []
    start = 0
    for basis in grouping.terms:
        own = slice(start, start + len(basis.names))
        start = own.stop
        found = _of_one_term(basis.names, covariance[own, own])
        names += found[0]
        values += found[1]
    return names, values


def _of_one_term(names: tuple[str, ...], covariance: Array) -> tuple[list[str], list[float]]:
    sds = np.sqrt(np.diag(covariance))
    terms = [f"sd__{name}" for name in names]
    values = [float(sd) for sd in sds]
    for j in range(len(names)):
        for i in range(j + 1, len(names)):
            terms.append(f"cor__{names[j]}.{names[i]}")
            product = sds[i] * sds[j]
            defined = product > 0
            values.append(
                float(np.clip(covariance[i, j] / product, -1.0, 1.0)) if defined else np.nan
            )
    return terms, values


def dispersion_table(fit: GeneralizedFit, *, conf_level: float) -> pd.DataFrame:
    """Coefficients of the log dispersion in the shared columns; no row where there is none."""
    if fit.dispersion is None:
        return tidy_frame(np.empty(0, dtype=object), {})
    values, covariance = fit.log_dispersion
    names = fit.dispersion.names if len(values) > 1 else ("(Intercept)",)
    found = Coefficients(names, values, covariance, np.full(len(values), np.inf))
    with np.errstate(invalid="ignore"):
        table = found.table(conf_level=conf_level)
    return tidy_frame("dispersion", table)


def dispersion_section(fit: GeneralizedFit, *, conf_level: float) -> Section:
    """Return the dispersion in words: the parameter itself, and ratios where columns move it."""
    dispersion = fit.asked.dispersion
    assert dispersion is not None
    table = dispersion_table(fit, conf_level=conf_level)
    with np.errstate(over="ignore"):
        table = table.assign(
            ratio=np.exp(table["estimate"]),
            ratio_low=np.exp(table["conf_low"]),
            ratio_high=np.exp(table["conf_high"]),
        )
    # that a logarithm of a dispersion is 0 is no hypothesis
    table = table.drop(columns=["statistic", "df", "p_value"])
    name = dispersion.name if len(table) == 1 else f"{dispersion.name} and its ratios"
    return Section(
        f"Dispersion, log {dispersion.name}",
        table,
        names=("term",),
        measure="b",
        columns={"ratio": Column(name, "ratio", "ratio_low", "ratio_high")},
        conf_level=conf_level,
        lead=f"The variance is {dispersion.variance}",
    )


def effects_as_given(fit: Fit) -> list[Array]:
    """Predicted effects of each grouping factor's columns as given: (q, units), by label."""
    return [
        back_transform(grouping.terms) @ b
        for grouping, b in zip(fit.design.groupings, fit.working_effects, strict=True)
    ]


def ran_vals_table(fit: Fit, *, conf_level: float) -> pd.DataFrame:
    """Predicted random effects of every unit, with conditional SDs."""
    frames = []
    for grouping, b, K in zip(
        fit.design.groupings, effects_as_given(fit), fit.effect_covariances, strict=True
    ):
        T = back_transform(grouping.terms)
        sds = np.sqrt(np.maximum(np.einsum("ij,jkn,ik->in", T, K, T), 0.0))
        for i, name in enumerate(grouping.names):
            low, high = wald_interval(b[i], sds[i], conf_level=conf_level)
            frames.append(
                tidy_frame(
                    "ran_vals",
                    {
                        "group": grouping.name,
                        "level": list(grouping.labels),
                        "term": name,
                        "estimate": b[i],
                        "std_error": sds[i],
                        "conf_low": low,
                        "conf_high": high,
                    },
                )
            )
    if not frames:  # residuals by visits may stand alone
        return tidy_frame(np.empty(0, dtype=object), {})
    return pd.concat(frames, ignore_index=True)


def boundary_sentences(
    groupings: Sequence[Grouping], template: Template, called: Mapping[str, str]
) -> list[str]:
    """Say for each term what is on its boundary."""
    sentences = []
    ranks = [rank for ranks in template.ranks for rank in ranks]
    bases = [(g.name, basis) for g in groupings for basis in g.terms]
    for rank, (group, basis) in zip(ranks, bases, strict=True):
        q = len(basis.names)
        names = ", ".join(called.get(name, name) for name in basis.names)
        if rank == 0:
            many = "the variances are" if q > 1 else "the variance is"
            sentences.append(f"{many} zero for {names} of '{group}'")
        elif rank < q:
            sentences.append(
                f"the {q} random effects {names} of '{group}' vary in {rank} "
                f"direction{'s' if rank > 1 else ''} only"
                + (" (a correlation is at -1 or +1, or a variance at zero)" if q == 2 else "")
            )
    return sentences


def all_coefficients(design: Design, values: Array) -> Array:
    """Place the estimated coefficients among all coefficients, with NaN for aliased ones."""
    found = np.full(len(design.fixed.names), np.nan)
    found[design.fixed.kept] = values
    return found


def named_coefficients(design: Design, values: Array) -> pd.Series:
    """Return all coefficients by name, with NaN for aliased ones."""
    names = list(design.fixed.names)
    return pd.Series(all_coefficients(design, values), index=names, name="estimate")


def effect_covariances(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return, for each grouping factor, the covariance of its random effects (as given)."""
    return {
        grouping.name: pd.DataFrame(D, index=list(grouping.names), columns=list(grouping.names))
        for grouping, D in zip(fit.design.groupings, fit.covariances, strict=True)
    }


def coefficients(inference: Inference) -> Coefficients:
    """Return all coefficients, NaN for aliased ones."""
    design = inference.design
    names, kept = design.fixed.names, design.fixed.kept
    vcov = np.full((len(names), len(names)), np.nan)
    vcov[np.ix_(kept, kept)] = inference.covariance
    df = all_coefficients(design, inference.df(np.eye(len(kept))))
    return Coefficients(names, all_coefficients(design, inference.beta), vcov, df)


def fixed_table(
    fit: LinearFit | GeneralizedFit,
    *,
    df_method: str | None = None,
    vcov: CR2 | None = None,
    conf_level: float,
) -> pd.DataFrame:
    """Coefficients with standard errors, df, tests and intervals, in the shared columns."""
    found = coefficients(inference_on(fit, df_method, vcov=vcov))
    return tidy_frame("fixed", found.columns(conf_level=conf_level))
