"""Competing endings in discrete time: dropout, planned ending, ... in one likelihood."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from alliance_stats.checks import check_choice, check_frame, require_columns, require_present
from alliance_stats.design.design import build_design
from alliance_stats.design.formula import formula_of, intercepts, parse_formula
from alliance_stats.door import replaced
from alliance_stats.engine.quadrature import check_node_count
from alliance_stats.engine.threads import one_blas_thread
from alliance_stats.errors import (
    ConvergenceWarning,
    DataError,
    FormulaError,
    NotIdentifiedError,
    warn,
)
from alliance_stats.estimates import Array, Integers
from alliance_stats.formatting import plural
from alliance_stats.renaming import renamed
from alliance_stats.spelling import plain_number
from alliance_stats.survival.by_session.competing_hazards_model import CompetingHazards
from alliance_stats.survival.by_session.discrete_hazard import hazard_periods, modelled
from alliance_stats.survival.by_session.ending_effects import EndingEffects, minimise_effects
from alliance_stats.survival.by_session.ending_logit import (
    EndingRows,
    MultinomialFit,
    fit_multinomial,
)
from alliance_stats.survival.cox.cluster_errors import cluster_sums, read_clusters
from alliance_stats.survival.rows.hazard_rows import BASELINES, Periods, refuse_copies
from alliance_stats.survival.rows.time_at_risk import read_weights

__all__ = ["clustered_covariance", "competing_hazards"]

_OUTCOME = "ending in the interval"
# Points of the product rule beyond which an integral takes minutes.
_MOST_POINTS = 20_000


@renamed(none="censored", df="baseline_df")
def competing_hazards(
    formula: str,
    data: pd.DataFrame,
    *,
    session: str,
    event: str,
    unit: str,
    known_before: Sequence[str] = (),
    censored: Hashable = 0,
    labels: Mapping[Hashable, str] | None = None,
    cluster: str | None = None,
    random: str | None = None,
    nodes: int = 1,
    baseline: str = "dummies",
    baseline_df: int = 3,
    weights: str | None = None,
) -> CompetingHazards:
    """Model the hazards of competing endings in discrete time, in one multinomial likelihood.

    ``log(h_k / (1 - sum h)) = baseline_k(t) + x beta_k + b_k`` for each ending k: the hazards of
    one session sum to at most 1, which separate binary models do not ensure. Therapists enter by
    `random` (with an effect ``b_k`` on each ending) or, without effects, by `cluster`.

    Parameters
    ----------
    formula
        Covariates; ``"1"`` for none.
    data
        One row per unit and session, as for :func:`discrete_hazard`.
    session, unit
        Columns.
    known_before
        As in :func:`discrete_hazard`.
    event
        Column: which ending occurred in the interval after the session; `censored` where none did,
        missing where that is not yet known (``ending_code`` of :func:`person_period`).
    censored
        The value for no ending.
    labels
        Labels for the values of `event`, as in ``{1: "dropout", 2: "planned"}``; by default the
        values themselves.
    cluster
        Column: standard errors are robust, from scores summed over its values, times
        ``G / (G - 1)``.
    random
        ``"(1 | therapist)"``: each therapist has an effect on each ending, with a variance for each
        ending and a correlation for each pair. Whether therapists who lose many families also end
        few as planned affects the cumulative incidence, so it is estimated from the data.
        ``"(1 || therapist)"``: the effects are assumed to be independent. With few therapists or
        a rare ending, a correlation is poorly estimated or runs to its limit (the summary says
        so), and this is the model to fall back on.
    nodes
        1 for the Laplace approximation; more for adaptive Gauss-Hermite quadrature with that many
        nodes per ending.
    baseline, baseline_df
        As in :func:`discrete_hazard`. With dummies an ending has hazard 0 after sessions at which
        it did not occur; sessions after which no unit, or every unit, ended are set aside and
        listed in the ledger.
    weights
        Without `random`. Column of positive weights, as in :func:`discrete_hazard`: standard errors
        are robust, over `cluster` or over the units.

    Returns
    -------
    CompetingHazards

    Raises
    ------
    DataError, FormulaError, NotIdentifiedError
        As in :func:`discrete_hazard`; also if fewer than two endings occur, or `random` has
        fewer than two units or ones that end once each.
    ValueError
        `cluster` or `weights` together with `random`; `nodes` without `random`.

    References
    ----------
    Tutz & Schmid (2016), doi:10.1007/978-3-319-28158-2, chapter 8 (competing risks in discrete
    time). Allison (1982), doi:10.2307/270718. Hartzel, Agresti & Caffo (2001),
    doi:10.1177/1471082X0100100201 (multinomial logit with random effects).

    Examples
    --------
    >>> from alliance_stats import competing_hazards, example_study, person_period
    >>> sessions = example_study().sessions
    >>> periods = person_period(
    ...     sessions, unit="family", session="session", ending="ending", scores=["alliance"]
    ... )
    >>> model = competing_hazards(
    ...     "parent_trauma", periods, session="session", event="ending_code", unit="family",
    ...     labels={1: "dropout", 2: "planned", 3: "transferred"}, baseline="polynomial",
    ... )
    >>> model.tidy().query("term == 'parent_trauma'")[["state", "estimate", "std_error"]].round(2)
              state  estimate  std_error
    4       dropout      0.49       0.24
    9       planned      0.14       0.22
    14  transferred      0.31       0.77
    """
    check_choice(baseline, BASELINES, name="baseline")
    _check_nesting(cluster, random, nodes, weights)
    data = check_frame(data)
    group = _grouping(random, list(data.columns))
    require_columns(data, [event, cluster, weights, *group])
    coded, states = _coded(data, event, censored, labels or {})
    also = [group] if group else []
    also += [(column,) for column in (cluster, weights) if column is not None]
    periods = hazard_periods(
        formula, coded, session=session, event=_OUTCOME, unit=unit, also=also, causes=event,
        known_before=known_before,
    )  # fmt: skip
    if group:
        refuse_copies(periods, [group])
    everyone, observed = periods, _observed(periods, states)
    periods, terms = modelled(formula, periods, baseline, baseline_df)
    frame = replaced(periods.frame, {_OUTCOME: periods.frame[_OUTCOME].astype(np.int64)})
    design, frame = build_design(
        formula_of(_OUTCOME, terms, [intercepts([unit])]), frame, residual_variance=False
    )
    rows = _rows(design.X, frame, session, observed, states, smooth=baseline != "dummies")
    counted = observed
    if weights is not None:
        weight = read_weights(frame, weights)
        rows = replace(rows, weight=weight / weight.mean())
        counted = _observed(everyone, states, read_weights(everyone.frame, weights) / weight.mean())
    names = [design.fixed.names[i] for i in design.fixed.kept]
    named = [f"{states[k]}: {names[j]}" for k, j in np.argwhere(rows.counts)]
    plain = fit_multinomial(rows, names=named)
    beta, covariance, log_lik, n_clusters = plain.beta, plain.covariance, plain.log_lik, None
    effects: EndingEffects | None = None
    over = unit if cluster is None and weights is not None else cluster
    codes: Integers | None = None
    if over is not None:
        covariance, codes = _robust(plain, frame, over)
        n_clusters = int(codes.max()) + 1
    if random is not None:
        effects = _effects(
            rows, plain, frame, group=group, unit=unit, states=states, nodes=nodes,
            correlated="||" not in random,
        )  # fmt: skip
        beta, covariance, log_lik = effects.fit.beta, effects.coefficients, effects.fit.log_lik
    return CompetingHazards(
        states, design, beta, covariance, log_lik, periods, observed, formula, baseline,
        n_clusters, effects, rows, codes, weights, counted,
    )  # fmt: skip


def _check_nesting(
    cluster: str | None, random: str | None, nodes: int, weights: str | None
) -> None:
    if weights is not None and random is not None:
        raise ValueError(
            "weights= gives robust standard errors of a model without effects; random= effects are "
            "of rows that count once: give one of them."
        )
    if cluster is not None and random is not None:
        raise ValueError(
            "cluster= gives robust standard errors of a model without effects, random= effects "
            "whose standard errors allow for the nesting: give one of them."
        )
    if random is None and nodes != 1:
        raise ValueError(
            f"nodes={nodes} is for the integral over random effects, and there are none: give "
            "random='(1 | therapist)', or leave nodes out."
        )


def _grouping(random: str | None, columns: Sequence[Hashable]) -> tuple[Any, ...]:
    """Return the columns that name a unit of the random term."""
    if random is None:
        return ()
    terms = parse_formula(random, needs_response=False).random
    if len(terms) != 1 or terms[0].columns != "1":
        raise FormulaError(
            f"random={random!r}: competing hazards take one grouping whose units have an effect on "
            "each ending, '(1 | therapist)', or '(1 || therapist)' for independent effects."
        )
    labels = {str(column): column for column in columns}
    return tuple(labels.get(name, name) for name in terms[0].grouping)


def _coded(
    data: pd.DataFrame, event: str, none: Hashable, labels: Mapping[Hashable, str]
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Give endings the numbers 1, 2, ... in sorted order, and none 0."""
    values = data[event]
    if not (values == none).any():
        raise DataError(
            f"Column '{event}' is never {none!r}: rows in which no ending came must hold that "
            "value (or name another with censored=)."
        )
    found = values[values.notna() & (values != none)].unique().tolist()
    kinds = {isinstance(value, str) for value in found}
    if len(kinds) > 1:
        raise DataError(
            f"Column '{event}' holds both words and numbers ({', '.join(map(repr, found[:6]))}): "
            "write each ending in one way."
        )
    found = sorted(found)
    if len(found) < 2:
        raise NotIdentifiedError(
            f"Column '{event}' holds {plural(len(found), 'ending')}: competing hazards need two or "
            "more. With one, use discrete_hazard."
        )
    unknown = [value for value in found if labels and value not in labels]
    if unknown:
        raise DataError(
            f"Column '{event}' holds {plain_number(unknown[0])!r}, for which labels= has no word; "
            f"it has {', '.join(map(repr, labels))}."
        )
    words = [labels.get(value, value) for value in found]
    states = tuple(str(plain_number(word)) for word in words)
    if len(set(states)) < len(states):
        raise DataError(f"labels= gives one word to several endings: {', '.join(states)}.")
    codes = values.map({none: 0.0, **{value: k + 1.0 for k, value in enumerate(found)}})
    return replaced(data, {_OUTCOME: codes.astype(np.float64)}), states


def _observed(
    periods: Periods, states: tuple[str, ...], weight: Array | None = None
) -> pd.DataFrame:
    """Count those at risk and each ending by session, or sum the weights (n,) of their rows."""
    frame = periods.frame
    number = frame[periods.session]
    each = pd.Series(1 if weight is None else weight, index=frame.index)
    counts = {
        state: each.where(frame[_OUTCOME] == k + 1, 0).groupby(number).sum()
        for k, state in enumerate(states)
    }
    table = pd.DataFrame({"n_risk": each.groupby(number).sum(), **counts})
    never = [state for state in states if table[state].sum() == 0]
    if never:
        raise NotIdentifiedError(
            f"Ending '{never[0]}' does not come in the rows used. {periods.rows}"
        )
    return table.reset_index(names="session")


def _rows(
    X: Array,
    frame: pd.DataFrame,
    session: str,
    observed: pd.DataFrame,
    states: tuple[str, ...],
    *,
    smooth: bool,
) -> EndingRows:
    """Say which columns count for which ending, and which endings are possible in which row."""
    counts = np.ones((len(states), X.shape[1]), dtype=bool)
    possible = np.ones((len(X), len(states)), dtype=bool)
    if not smooth:
        came = observed.set_index("session")[list(states)]
        numbers = frame[session].to_numpy()
        possible = came.loc[numbers].to_numpy() > 0
        for j, number in enumerate(np.unique(numbers)):
            counts[:, j] = came.loc[number].to_numpy() > 0
    return EndingRows(X, frame[_OUTCOME].to_numpy(dtype=np.int64), counts, possible)


def _robust(fit: MultinomialFit, frame: pd.DataFrame, cluster: str) -> tuple[Array, Integers]:
    """Return the covariance over clusters, and the number of each row's cluster."""
    require_present(frame, cluster, why="for robust standard errors")
    codes, _ = read_clusters(frame[cluster])
    return clustered_covariance(fit, codes), codes


def clustered_covariance(fit: MultinomialFit, codes: Integers) -> Array:
    """Return the covariance from scores summed over clusters, times ``G / (G - 1)``."""
    n = int(codes.max()) + 1
    summed = cluster_sums(codes, fit.scores)
    meat = summed @ summed.T * n / (n - 1.0)
    return np.asarray(fit.covariance @ meat @ fit.covariance)


def _effects(
    rows: EndingRows,
    plain: MultinomialFit,
    frame: pd.DataFrame,
    *,
    group: tuple[str, ...],
    unit: str,
    states: tuple[str, ...],
    nodes: int,
    correlated: bool,
) -> EndingEffects:
    """Fit effects of groups on each ending.

    Parameters
    ----------
    rows, plain, frame
        Arrays, the fit without effects, and the rows with their columns.
    group, unit
        Columns that name a group, and a unit.
    states, nodes, correlated
        Names of the endings; quadrature nodes; whether effects may be correlated.
    """
    check_node_count(nodes)
    if nodes ** len(states) > _MOST_POINTS:
        most = int(_MOST_POINTS ** (1.0 / len(states)))
        raise ValueError(
            f"nodes={nodes} for each of {len(states)} endings are {nodes ** len(states):,} points "
            f"a group: give at most {most}."
        )
    keys = frame.groupby(list(group), sort=True, observed=True)
    codes = keys.ngroup().to_numpy()
    labels = tuple(":".join(map(str, key)) if len(key) > 1 else key[0] for key, _ in keys)
    if len(labels) < 2:
        raise NotIdentifiedError(
            f"'{':'.join(group)}' has one unit in the rows used: how much units differ is not "
            "known. Leave the random term out."
        )
    n_units = keys[unit].nunique().to_numpy()
    with one_blas_thread():
        fit = minimise_effects(rows, codes, plain, nodes=nodes, correlated=correlated)
    if not fit.convergence.converged:
        warn(
            f"The fit of effects of '{':'.join(group)}' on competing endings has not converged "
            f"({fit.convergence.message}); do not use its numbers.",
            ConvergenceWarning,
        )
    return EndingEffects(fit, states, ":".join(map(str, group)), labels, n_units, unit)
