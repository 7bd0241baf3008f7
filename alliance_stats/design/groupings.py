"""Grouping factors: units, labels, and the random-effects columns that vary over them."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import linalg

from alliance_stats.checks import group_codes, nested_codes, only_used
from alliance_stats.design.coding import Coding, code_terms, independent_columns
from alliance_stats.design.formula import INTERCEPT, RandomTerm, Terms
from alliance_stats.errors import FormulaError, NotIdentifiedError
from alliance_stats.estimates import Array, Integers
from alliance_stats.spelling import check_spelling

__all__ = [
    "Grouping",
    "TermBasis",
    "back_transform",
    "build_groupings",
    "check_not_fixed",
    "places_of",
    "random_columns",
    "unit_labels",
    "units_of",
]

# What fixed effects leave of effects of units, relatively, beyond which it is more than rounding.
EXPLAINED = 1e-10
# Eigenvalue, relative to the largest, below which a change of the covariances does not show.
TOLD_APART = 1e-10
# Of the effects that stand for all: no seed that a caller would draw a covariate of units from.
_SEED = 8_675_309_271_828_182_845


@dataclass(frozen=True, slots=True, eq=False)
class TermBasis:
    """One random term's columns and their working basis: ``columns = basis @ R``.

    Attributes
    ----------
    term
        The term.
    names
        Names of its columns, ``"(Intercept)"`` first where there is one.
    coding
        How they were coded, and new rows are.
    R
        (q, q) upper triangular; effects b of the columns are ``R^-1`` times those of the basis.
    """

    term: RandomTerm
    names: tuple[str, ...]
    coding: Coding
    R: Array


_CodedTerms = dict[Terms, tuple[TermBasis, Array]]
"""Bases of random terms and their working columns, (q, n), before any weight."""


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """A grouping factor with the terms that vary over it.

    Attributes
    ----------
    name
        As in ``"therapist:family"``.
    columns
        The columns that together identify a unit.
    labels
        One label per unit; joined by ``":"`` where several columns identify it.
    keys
        What identifies each unit: its value, or the tuple of its values.
    codes
        The unit of each row.
    Z
        Working columns of all its terms, (q, n).
    terms
        The terms, in the order of the columns.
    """

    name: str
    columns: tuple[str, ...]
    labels: pd.Index
    keys: pd.Index
    codes: Integers
    Z: Array
    terms: tuple[TermBasis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the random-effects columns."""
        return tuple(name for basis in self.terms for name in basis.names)


def back_transform(terms: Sequence[TermBasis]) -> Array:
    """Matrix that takes effects of the working columns to effects of the columns as given."""
    return np.asarray(linalg.block_diag(*(linalg.inv(basis.R) for basis in terms)))


def random_columns(basis: TermBasis, newdata: pd.DataFrame) -> Array:
    """Code new rows of one random term as given (not in the working basis), (n, q)."""
    return basis.coding.columns(newdata)


_Numbered = dict[str | tuple[str, ...], tuple[Integers, pd.Index]]
"""Numbers of a column's values, by its name, and of units, by the columns that name them."""


def unit_labels(
    columns: tuple[str, ...], data: pd.DataFrame, numbered: _Numbered | None = None
) -> tuple[Integers, pd.Index, pd.Index]:
    """Give each row's unit a number and each unit a label and a key.

    Parameters
    ----------
    columns
        The columns that together identify a unit, outermost first.
    data
        Rows with none of them missing.
    numbered
        Numbering from other groupings of the same rows; extended, so that each column of
        ``therapist/family/person`` is numbered and its spelling checked only once.

    Returns
    -------
    codes, labels, keys
        The unit of each row; text for tables, ``"T01:F1"``; and what identifies the unit, the
        value itself or a tuple of values.
    """
    known: _Numbered = {} if numbered is None else numbered
    if columns[:1] not in known:
        check_spelling(data[columns[0]], kind="unit")
        known[columns[:1]] = _own_numbers(columns[0], data, known)
    codes, labels = known[columns[:1]]
    if len(columns) == 1:
        return codes, labels, labels
    for depth, column in enumerate(columns[1:], start=2):
        if columns[:depth] not in known:
            check_spelling(data[column], kind="unit", within=pd.Series(codes))
            more, _ = _own_numbers(column, data, known)
            nested = nested_codes(codes, more)
            known[columns[:depth]] = nested, pd.RangeIndex(int(nested.max()) + 1)
        codes = known[columns[:depth]][0]
    parts = [_own_numbers(column, data, known) for column in columns]
    first = np.empty(codes.max() + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    keys = pd.MultiIndex(
        [names for _, names in parts],
        [own[first] for own, _ in parts],
        names=columns,
        verify_integrity=False,
    )
    told = [map([*map(str, names)].__getitem__, own[first].tolist()) for own, names in parts]
    return codes, pd.Index([*map(":".join, zip(*told, strict=True))]), keys


def _own_numbers(column: str, data: pd.DataFrame, known: _Numbered) -> tuple[Integers, pd.Index]:
    """Return the number of each value of a column, in sorted order, and the values."""
    if column not in known:
        values = data[column]
        if isinstance(values.dtype, pd.CategoricalDtype):
            own = only_used(values).array
            known[column] = own.codes.astype(np.int64), pd.Index(own.categories)
        else:
            known[column] = group_codes(values)
    return known[column]


def units_of(grouping: Grouping, data: pd.DataFrame) -> Integers:
    """Return the fitted unit of each row of new data; -1 for a unit that was not in the fit."""
    return places_of(grouping.keys, grouping.columns, data)


def places_of(keys: pd.Index, columns: Sequence[str], data: pd.DataFrame) -> Integers:
    """Return the position among `keys` of each row's values in some columns; -1 if absent."""
    wanted = (
        pd.Index(data[columns[0]].astype(object))
        if len(columns) == 1
        else pd.MultiIndex.from_frame(data[list(columns)].astype(object))
    )
    found: Integers = keys.get_indexer(wanted).astype(np.int64)
    return found


def build_groupings(
    by_group: Mapping[tuple[str, ...], list[RandomTerm]],
    used: pd.DataFrame,
    root_weights: Array,
    *,
    free_residual: bool,
    learn: pd.DataFrame,
) -> tuple[Grouping, ...]:
    """Read the grouping factors; what several of them use is numbered and coded once.

    Raises
    ------
    NotIdentifiedError, FormulaError
        A single unit, as many effects as rows, a column twice, two names for the same units.
    """
    numbered: _Numbered = {}
    coded: _CodedTerms = {}
    found = tuple(
        _built(
            columns, terms, used, root_weights, numbered=numbered, coded=coded,
            free_residual=free_residual, learn=learn,
        )
        for columns, terms in by_group.items()
    )  # fmt: skip
    _check_distinct(found)
    return found


def _built(
    columns: tuple[str, ...],
    terms: list[RandomTerm],
    used: pd.DataFrame,
    root_weights: Array,
    *,
    numbered: _Numbered,
    coded: _CodedTerms,
    free_residual: bool,
    learn: pd.DataFrame,
) -> Grouping:
    """Read the units of a grouping factor and the columns of its terms.

    What other groupings of the same rows have numbered and coded is used again and extended.
    """
    name = ":".join(map(str, columns))
    codes, labels, keys = unit_labels(columns, used, numbered)
    n, n_units = len(used), len(labels)
    if n_units < 2:
        raise NotIdentifiedError(
            f"'{name}' has one unit in the rows used ('{labels[0]}'): a variance between units "
            "cannot be estimated. Leave the term out."
        )
    bases, Z = [], []
    for term in terms:
        basis, working = _term_basis(term, used, learn, coded)
        columns_of_term = working * root_weights
        q = len(basis.names)
        if q * (q + 1) // 2 > n:
            raise NotIdentifiedError(
                f"{term} has {q} columns that vary over '{name}', hence {q * (q + 1) // 2} "
                f"variances and covariances from {n} rows. If one of its columns is a number, "
                "convert it first (pandas.to_numeric); else leave the term out."
            )
        _check_told_apart(basis, columns_of_term, codes)
        if free_residual and n_units == n:
            raise NotIdentifiedError(
                f"{term}: each of the {n} rows is a unit of '{name}' by itself. What units differ "
                "by and the residual are then one and the same: they cannot be told from the "
                "residual. Leave the term out (the residual holds both), name the column that says "
                "which rows belong together, or fix the residual variance with known_variance=."
            )
        if free_residual and q * n_units >= n:
            raise NotIdentifiedError(
                f"{term} asks for {q * n_units} random effects ({n_units} units of '{name}') "
                f"from {n} rows: they cannot be told from the residual. Leave the term out, or "
                "fix the residual variance with known_variance=."
            )
        bases.append(basis)
        Z.append(columns_of_term)
    own = [column for basis in bases for column in basis.names]
    twice = {column for column in own if own.count(column) > 1}
    if twice:
        raise FormulaError(
            f"'{min(twice)}' varies over '{name}' in two terms, so that its variances cannot be "
            "told apart. Write (0 + x | g) beside (1 | g), or (1 + x || g)."
        )
    return Grouping(name, columns, labels, keys, codes, np.concatenate(Z), tuple(bases))


def _check_distinct(groupings: tuple[Grouping, ...]) -> None:
    """Refuse two names for the same units: their variances cannot be separated."""
    for i, one in enumerate(groupings):
        for other in groupings[i + 1 :]:
            if len(one.labels) != len(other.labels):
                continue
            pairs = np.unique(np.column_stack([one.codes, other.codes]), axis=0)
            if len(pairs) == len(one.labels) and set(one.names) & set(other.names):
                raise NotIdentifiedError(
                    f"'{one.name}' and '{other.name}' group the rows in the same way, so that "
                    "their variances cannot be told apart. Leave one of them out."
                )


def check_not_fixed(groupings: Sequence[Grouping], Q: Array, root_weights: Array) -> None:
    """Refuse a grouping whose every unit has a fixed effect: no between-unit variance remains.

    One random draw of effects per unit and column suffices: what the fixed effects explain of these
    they explain of any, except for a set of draws with probability 0.
    """
    random = np.random.default_rng(_SEED)
    for grouping in groupings:
        at = 0
        for basis in grouping.terms:
            Z = basis.R.T @ grouping.Z[at : at + len(basis.names)]  # its columns as given
            at += len(basis.names)
            drawn = Z * random.standard_normal((len(Z), len(grouping.labels)))[:, grouping.codes]
            left = drawn - (drawn @ Q.T / len(root_weights)) @ Q if len(Q) else drawn
            fixed = np.linalg.norm(left, axis=1) <= EXPLAINED * np.linalg.norm(drawn, axis=1)
            if fixed.any():
                what = basis.names[int(np.argmax(fixed))]
                of = "" if what == INTERCEPT else f" of {what}"
                raise NotIdentifiedError(
                    f"The fixed effects hold an effect{of} for each unit of '{grouping.name}' "
                    "already: its variance between units is not identified. Leave it out of the "
                    f"fixed effects, or out of {basis.term}."
                )


def _check_told_apart(basis: TermBasis, Z: Array, codes: Integers) -> None:
    """Refuse a term whose variances and covariances are not all identified by the rows.

    The rows of unit u have covariance ``Z_u T Z_u'``; a change D of T shows in it by
    ``sum_u tr(D G_u D G_u)`` with ``G_u = Z_u' Z_u``. Where that is zero for some D (a category
    that never changes within a unit) the likelihood is the same for T and T + D.
    """
    q, n_units = len(Z), int(codes.max()) + 1
    if q == 1:
        return
    # on the working basis, since calendar years beside a constant leave few digits as given
    G = np.empty((n_units, q, q))
    for i, j in itertools.combinations_with_replacement(range(q), 2):
        G[:, i, j] = G[:, j, i] = np.bincount(codes, weights=Z[i] * Z[j])
    G /= np.maximum(np.trace(G, axis1=1, axis2=2), np.finfo(np.float64).tiny)[:, None, None]
    pairs = list(itertools.combinations_with_replacement(range(q), 2))
    changes = np.zeros((len(pairs), q, q))
    for k, (i, j) in enumerate(pairs):
        changes[k, i, j] = changes[k, j, i] = 1.0
    products = np.tensordot(G, G, axes=(0, 0))
    shows = np.einsum("kab,lcd,bcda->kl", changes, changes, products, optimize=True)
    values, vectors = np.linalg.eigh(shows)
    unseen = vectors[:, values <= TOLD_APART * values[-1]]
    if unseen.shape[1] == 0:
        return
    back = np.linalg.inv(basis.R) * np.linalg.norm(basis.R, axis=0)[:, None]  # to the columns given
    given = back @ np.tensordot(unseen.T, changes, axes=1) @ back.T
    size = np.abs(given).max()
    hidden = [(i, j) for i, j in pairs if np.abs(given[:, i, j]).max() > 1e-6 * size]
    raise NotIdentifiedError(
        f"{basis.term} has {len(pairs)} variances and covariances, of which the rows determine "
        f"{len(pairs) - unseen.shape[1]}: those of {_pairs_in_words(hidden, basis.names)} cannot "
        f"be told apart, since too little of it varies within units of '{basis.term.group}'. "
        f"Write '(1 | {basis.term.group})', or give slopes to what varies within them."
    )


def _pairs_in_words(pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> str:
    shown = [names[i] if i == j else f"{names[i]} with {names[j]}" for i, j in pairs]
    return ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")


def _term_basis(
    term: RandomTerm, used: pd.DataFrame, learn: pd.DataFrame, coded: _CodedTerms
) -> tuple[TermBasis, Array]:
    if term.terms in coded:
        return replace(coded[term.terms][0], term=term), coded[term.terms][1]
    if not term.terms.terms:
        raise FormulaError(f"{term} has no random effect; write '(1 | {term.group})'.")
    coding, raw = code_terms(term.terms, used, learn=learn)
    Q, R = linalg.qr(raw, mode="economic", check_finite=False)
    if len(independent_columns(R)) < raw.shape[1]:
        raise NotIdentifiedError(
            f"The columns of {term} ({', '.join(coding.names)}) are not independent "
            "of one another in the rows used."
        )
    scale = np.sqrt(len(raw))
    basis = TermBasis(term, coding.names, coding, R / scale)
    coded[term.terms] = basis, np.multiply(Q.T, scale, order="C")
    return coded[term.terms]
