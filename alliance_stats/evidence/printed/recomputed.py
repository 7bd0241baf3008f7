"""One relation at a time: what it allows, given the printed inputs."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from alliance_stats.checks import check_choice, check_conf_level, did_you_mean
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.evidence.printed.catalogue import CATALOGUE
from alliance_stats.evidence.printed.numerals import CONVENTIONS, DECIMALS
from alliance_stats.evidence.printed.printed_row import Rules, readings

__all__ = ["Recomputed", "recompute", "relations"]


@dataclass(frozen=True, slots=True)
class Recomputed:
    """What a relation allows its target to be.

    Attributes
    ----------
    relation, target, formula, source
        The relation.
    low, high
        The feasible set of the target, ends included, on the target's own scale.
    exact
        Whether that is the set itself; otherwise it encloses the exact set.
    """

    relation: str
    target: str
    formula: str
    source: str
    low: float
    high: float
    exact: bool


def recompute(
    relation: str,
    printed: Mapping[str, str],
    *,
    rounding: str = "nearest",
    tails: str = "two",
    conf_level: float = 0.95,
    decimal: str = ".",
) -> Recomputed:
    """Return what a relation allows, given the printed numbers it starts from.

    Parameters
    ----------
    relation
        A name from :func:`relations`.
    printed
        Quantity -> text as printed, as in ``{"r": ".30", "n": "103"}``.
    rounding
        ``"nearest"`` or ``"truncated"``: what a printed number stands for.
    tails
        ``"two"`` or ``"one"``, for relations that yield p.
    conf_level
        Coverage, for relations with an interval.
    decimal
        ``","`` where the texts have a decimal comma.

    Returns
    -------
    Recomputed

    Raises
    ------
    DataError
        If there is no such relation, an input is missing, or a text is not a possible number.
    NotIdentifiedError
        If the relation has no value for these inputs (r at n = 2).

    Examples
    --------
    >>> recompute("p_t", {"t": "2.00", "df": "30"}).low.__round__(4)
    0.0541
    """
    if relation not in CATALOGUE:
        raise DataError(f"There is no relation {relation!r}. {did_you_mean(relation, CATALOGUE)}")
    chosen = CATALOGUE[relation]
    check_choice(rounding, CONVENTIONS, name="rounding")
    check_choice(tails, ("two", "one"), name="tails")
    check_choice(decimal, DECIMALS, name="decimal")
    rules = Rules(check_conf_level(conf_level), tails, decimal=decimal)
    row = next(readings(printed, where="Printed numbers", rules=rules))
    for name in chosen.inputs:
        if name not in row.texts:
            raise DataError(
                f"Relation '{relation}' ({chosen.formula}) needs {', '.join(chosen.inputs)}; "
                f"'{name}' is not given."
            )
        if name in row.impossible:
            raise DataError(f"Printed numbers, field '{name}': {row.impossible[name]}.")
    try:
        feasible = chosen.image(row.boxes[rounding], row.setting)
    except NotIdentifiedError as refusal:
        raise NotIdentifiedError(f"Relation '{relation}' ({chosen.formula}): {refusal}.") from None
    return Recomputed(
        relation, chosen.target, chosen.formula, chosen.source, feasible.low, feasible.high,
        chosen.exact,
    )  # fmt: skip


def relations() -> pd.DataFrame:
    """Return every relation that can be checked.

    Returns
    -------
    DataFrame
        ``relation, target, inputs, formula, source, exact``: `exact` says whether the feasible
        set is exact; otherwise it encloses the exact one.
    """
    return pd.DataFrame(
        [
            {
                "relation": relation.name,
                "target": relation.target,
                "inputs": ", ".join(relation.inputs),
                "formula": relation.formula,
                "source": relation.source,
                "exact": relation.exact,
            }
            for relation in CATALOGUE.values()
        ]
    )
