"""The names of printed numbers, their possible values, and the relations checked.

A column of a table, or a field of a record, with one of these names holds printed numbers.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.evidence.printed import (
    correlation_relations,
    count_relations,
    exact_relations,
    mean_relations,
    pooled_relations,
    ratio_relations,
    standardised_relations,
    statistic_relations,
    stratified_relations,
    variance_relations,
    wald_relations,
)
from alliance_stats.evidence.printed.numerals import read_cell, read_printed
from alliance_stats.evidence.printed.relation import Relation

__all__ = [
    "CATALOGUE",
    "QUANTITIES",
    "SETTINGS",
    "YIELDING",
    "Quantity",
    "known_columns",
    "quantity_named",
    "read_as_quantities",
]

CATALOGUE: Mapping[str, Relation] = MappingProxyType(
    {
        relation.name: relation
        for relations in (
            statistic_relations.RELATIONS, wald_relations.RELATIONS,
            correlation_relations.RELATIONS, pooled_relations.RELATIONS, mean_relations.RELATIONS,
            standardised_relations.RELATIONS, ratio_relations.RELATIONS, count_relations.RELATIONS,
            variance_relations.RELATIONS, exact_relations.RELATIONS,
            stratified_relations.RELATIONS,
        )
        for relation in relations
    }
)  # fmt: skip

# quantity -> the relations that yield it
YIELDING: Mapping[str, tuple[Relation, ...]] = MappingProxyType(
    {
        target: tuple(relation for relation in CATALOGUE.values() if relation.target == target)
        for target in {relation.target for relation in CATALOGUE.values()}
    }
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A named number.

    Attributes
    ----------
    about
        What it is, with its scale.
    low, high
        The values it can have, ends included.
    kind
        ``"value"`` (rounded), ``"count"`` (whole, exact), ``"df"`` (exact where printed whole) or
        ``"stars"`` (significance symbols).
    """

    about: str
    low: float = -np.inf
    high: float = np.inf
    kind: str = "value"


def _positive(about: str) -> Quantity:
    return Quantity(about, low=0.0)


def _share(about: str) -> Quantity:
    return Quantity(about, low=0.0, high=1.0)


def _correlation(about: str) -> Quantity:
    return Quantity(about, low=-1.0, high=1.0)


def _count(about: str, low: float = 1.0) -> Quantity:
    return Quantity(about, low=low, kind="count")


def _df(about: str) -> Quantity:
    return Quantity(about, low=0.0, kind="df")


QUANTITIES: Mapping[str, Quantity] = MappingProxyType(
    {
        "estimate": Quantity("a coefficient, on its own scale (log for odds and hazards)"),
        "std_error": _positive("its standard error, on the scale of the estimate"),
        "statistic": Quantity("its test statistic: F with df1 and df2, t with df, else z or t"),
        "t": Quantity("a t statistic"),
        "z": Quantity("a z statistic"),
        "f": _positive("an F statistic"),
        "chi2": _positive("a chi-squared statistic"),
        "wald": _positive("a Wald chi-squared statistic"),
        "df": _df("its degrees of freedom"),
        "df1": _df("numerator degrees of freedom"),
        "df2": _df("denominator degrees of freedom"),
        "p_value": _share("a p-value"),
        "stars": Quantity("significance symbols", low=0.0, high=1.0, kind="stars"),
        "conf_low": Quantity("lower limit of the confidence interval"),
        "conf_high": Quantity("upper limit of the confidence interval"),
        "r": _correlation("a correlation"),
        "se_z": _positive("standard error of Fisher's z of r"),
        "n": _count("sample size"),
        "n_effects": _count("number of effect sizes in a meta-analysis"),
        "k_studies": _count("number of studies in a meta-analysis"),
        "n_total": _count("persons over all studies"),
        "mean_n": _positive("mean sample size over studies"),
        "q": _positive("Cochran's Q"),
        "i_squared": _share("I squared, as a proportion or with a percent sign"),
        "icc": _correlation("an intraclass correlation"),
        "r1": _correlation("correlation in the first sample"),
        "r2": _correlation("correlation in the second sample"),
        "n1": _count("size of the first sample or group"),
        "n2": _count("size of the second sample or group"),
        "r12": _correlation("correlation of variables 1 and 2"),
        "r13": _correlation("correlation of variables 1 and 3"),
        "r23": _correlation("correlation of variables 2 and 3"),
        "r14": _correlation("correlation of variables 1 and 4"),
        "r24": _correlation("correlation of variables 2 and 4"),
        "r34": _correlation("correlation of variables 3 and 4"),
        "d": Quantity("standardised mean difference, pooled SD"),
        "g": Quantity("standardised mean difference, corrected for small samples"),
        "odds_ratio": _positive("an odds ratio"),
        "hazard_ratio": _positive("a hazard ratio"),
        "exp_b": _positive("exponentiated coefficient"),
        "r_squared": Quantity(
            "proportion of variance explained; adjusted, it may be negative", low=-1.0, high=1.0
        ),
        "k": _count("number of predictors"),
        "mean": Quantity("a mean"),
        "sd": _positive("a standard deviation"),
        "items": _count("number of integer items averaged in each person's score"),
        "mean1": Quantity("mean of the first group, or at the first time"),
        "mean2": Quantity("mean of the second group, or at the second time"),
        "sd1": _positive("SD of the first group, or at the first time"),
        "sd2": _positive("SD of the second group, or at the second time"),
        "r_paired": _correlation("correlation of the two times"),
        "events": _count("how many had the event", low=0.0),
        "proportion": _share("share that had the event"),
        "events1": _count("events in the first group", low=0.0),
        "events2": _count("events in the second group", low=0.0),
        "proportion1": _share("share of the first group that had the event"),
        "proportion2": _share("share of the second group that had the event"),
    }
)

# Other names that tables in use give to these quantities, without case, blanks, dots and strokes.
# "beta" is not among them: it may be standardised, and is then not what the standard error is of.
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        other: name
        for name, others in {
            "estimate": "b coef coefficient est",
            "std_error": "se seb stderr standarderror",
            "t": "t tvalue tstat tstatistic",
            "z": "z zvalue zstat zstatistic",
            "f": "f fvalue fstat fstatistic",
            "chi2": "chisq chisquare chisquared x2 x² χ2 χ²",
            "df": "df",
            "df1": "dfnum numdf dfbetween",
            "df2": "dfden dendf dfwithin",
            "p_value": "p pval sig significance",
            "conf_low": "ll lcl lci cilow cill lower lowerci cilower lowerlimit",
            "conf_high": "ul ucl uci cihigh ciul upper upperci ciupper upperlimit",
            "n": "n samplesize",
            "i_squared": "i2 i²",
            "d": "cohend cohensd",
            "g": "hedgeg hedgesg",
            "odds_ratio": "or",
            "hazard_ratio": "hr",
            "r_squared": "rsq r²",
            "mean": "m",
            "sd": "sd",
            "mean1": "m1",
            "mean2": "m2",
        }.items()
        for other in others.split()
    }
)


def quantity_named(column: object) -> str | None:
    """Return the quantity that a column's name denotes; None if it denotes none.

    ``R2`` is read as R squared and ``r2`` as the second sample's correlation.
    """
    name = str(column)
    if name in QUANTITIES:
        return name
    if name.strip() == "R2":
        return "r_squared"
    bare = re.sub(r"[\s._-]", "", name).casefold()
    whole = {quantity.replace("_", ""): quantity for quantity in QUANTITIES if len(quantity) > 2}
    return _OTHER_NAMES.get(bare) or whole.get(bare)


# Columns that say how a row's numbers are to be read.
SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "tails": "'two', 'one' or 'either': how the row's p-value was computed",
        "conf_level": "coverage of the row's interval, as .95 or 95%",
        "interval_of": "the quantity the row's interval belongs to",
        "interval_from": "'se': the interval is the estimate -+ q SE (Wald); empty: not said",
        "tests": "for how many tests the row's p was adjusted (Bonferroni, Holm, Sidak); empty: "
        "not said",
        "relation": "names of the relations to check, parted by blanks; empty for all that apply",
    }
)


# --- the columns of a table ----------------------------------------------------------------------


def read_as_quantities(table: pd.DataFrame, *, decimal: str = ".") -> dict[str, str]:
    """Return the columns that denote a quantity under another name, with that quantity.

    A column with such a name that holds nothing but words (the labels under "Coefficient", the
    times of measurement under "T") is none of them.

    Raises
    ------
    DataError
        If two columns denote one quantity, or some cells of such a column are no printed numbers.
    """
    meant: dict[str, str] = {}
    for place, name in enumerate(table.columns):
        quantity = quantity_named(name)
        if quantity is None or (
            name != quantity and _holds_words(table.iloc[:, place], name, quantity, decimal)
        ):
            continue
        meant[name] = quantity
    named = list(meant.values())
    twice = [f"'{name}' ({given})" for name, given in meant.items() if named.count(given) > 1]
    if twice:
        raise DataError(f"Columns that mean one quantity: {', '.join(twice)}. Rename all but one.")
    return {name: quantity for name, quantity in meant.items() if name != quantity}


def _holds_words(cells: pd.Series, name: str, quantity: str, decimal: str) -> bool:
    """Say whether no cell of a column holds a printed number; refuse a mixture of the two."""
    numbers, refused = 0, ""
    for label, cell in cells.dropna().astype(str).items():
        try:
            found = read_cell(quantity, cell, decimal=decimal)
            if quantity in found:
                read_printed(found[quantity], decimal=decimal)
        except DataError as error:
            refused = refused or f"Row {label}, column '{name}' (read as {quantity}): {error}"
        else:
            numbers += bool(found)
    if refused and numbers:
        raise DataError(refused)
    return bool(refused)


def known_columns(table: pd.DataFrame, read_as: Mapping[str, str]) -> list[str]:
    """Return the columns that hold printed numbers, or say how to read them.

    Raises
    ------
    DataError
        If none holds printed numbers, or one holds numbers that are no text any more.
    """
    known = [name for name in table.columns if name in (*QUANTITIES, *SETTINGS, *read_as)]
    if not any(name in QUANTITIES or name in read_as for name in known):
        raise DataError(
            "No column of the table goes by the name of a printed quantity. Known are: "
            f"{', '.join(QUANTITIES)}."
        )
    for name in known:
        if table[name].isna().all():
            continue
        dtype = table[name].dtype
        whole = pd.api.types.is_integer_dtype(dtype)
        numeric = pd.api.types.is_numeric_dtype(dtype) and not whole
        if numeric or any(map(_is_float, table[name])):
            raise DataError(
                f"Column '{name}' holds numbers ({dtype}), not the text that was printed: .10 and "
                ".1 cannot be told apart any more. Read the table with dtype=str."
            )
    return known


def _is_float(value: object) -> bool:
    return isinstance(value, (float, np.floating)) and not np.isnan(value)
