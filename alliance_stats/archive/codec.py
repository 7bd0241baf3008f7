"""Values of results as JSON and back: one notation for every kind of value.

Texts, truth values, whole numbers, finite floats and None are written as such, a tuple is a JSON
list; everything else is an object that says what it ``is``. A record (a dataclass or a named tuple
of this package) is written field by field under its name. What occurs in several places is written
once and referred to by its number, in order of completion.

Reading makes records of the package's own classes and partial calls of functions marked with
:func:`alliance_stats.named.named`, and nothing else: no name in a file is ever imported.
"""

import dataclasses
import datetime
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pandas as pd
from formulaic.transforms import contrasts
from formulaic.utils.sentinels import UNSET
from scipy import sparse, special

from alliance_stats.archive.columns import (
    array_of,
    frame_of,
    index_of,
    read_columns,
    series_of,
    sparse_of,
)
from alliance_stats.engine.families import Family, family_of
from alliance_stats.engine.ordered import ordered_family
from alliance_stats.errors import DataError
from alliance_stats.named import FUNCTIONS

__all__ = ["Reader", "Writer", "records"]

Json = Any
_PACKAGE = Path(__file__).parents[1]
_DRAWN = ("figures", "tables", "cli", "archive")  # rooms that hold no results
FORMER: Mapping[str, str] = {
    "association.mediation.natural_effects": "association.mediation.counterfactuals",
    "association.mediation.paths": "association.mediation.equations",
    "association.mediation.product_profile": "association.mediation.path_intervals",
    "association.planned_contrasts": "association.variance_analysis",
    "engine.lag_table.LagOptions": "engine.lag_parameters.LagOptions",
    "engine.search.Coordinates": "engine.template.Coordinates",
    "engine.search.Slopes": "engine.template.Slopes",
    "engine.several_quadrature": "engine.quadrature",
    "engine.spread_families": "engine.families",
    "evidence.meta.pooling": "evidence.meta.sampled_effects",
    "family.dyad_members": "family.family_members",
    "generalizability": "person_reliability",
    "multilevel.after.chi_bar_squared": "multilevel.after.model_comparison",
    "multilevel.after.left_out_clusters": "multilevel.after.resampling",
    "multilevel.generalized_fit.DispersionPart": "multilevel.generalized_data.DispersionPart",
    "power.kept_studies": "power.drawn_studies",
    "power.trial_designs": "power.formula_powers",
    "power.uncertain_designs": "power.assumptions",
    "scales.generalizability": "scales.person_reliability",
    "scales.item_moments": "scales.factor_structure",
    "simulate.drawn_units": "simulate.draws",
    "survival.by_session.session_terms": "survival.by_session.session_courses",
    "survival.by_session.whole_courses": "survival.by_session.session_courses",
    "survival.cox.frailty_likelihood.FrailtyProblem": "survival.cox.frailty.FrailtyProblem",
    "survival.prediction.accuracy_measures": "survival.prediction.risk_accuracy",
}
"""Modules (of functions, their last name), or single records, as once saved -> their names now."""

_CONTRASTS = {
    kind.__name__: kind
    for kind in (
        contrasts.TreatmentContrasts,
        contrasts.SASContrasts,
        contrasts.SumContrasts,
        contrasts.HelmertContrasts,
        contrasts.DiffContrasts,
        contrasts.PolyContrasts,
        contrasts.CustomContrasts,
    )
}
_FOREIGN: Mapping[str, Callable[..., Any]] = {
    "numpy.asarray": np.asarray,
    "numpy.ones_like": np.ones_like,
    "numpy.exp": np.exp,
    "scipy.special.expit": special.expit,
    "scipy.special.ndtr": special.ndtr,
}
_ODD = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}


@cache
def records() -> Mapping[str, type]:
    """Return every record of the package by its name, ``"room.file.Class"``."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages([str(_PACKAGE)], "alliance_stats."):
        own = module.name.partition(".")[2]
        if own.partition(".")[0] in _DRAWN or own.endswith("__main__"):
            continue
        for thing in vars(importlib.import_module(module.name)).values():
            if isinstance(thing, type) and thing.__module__ == module.name and _is_record(thing):
                found[f"{own}.{thing.__qualname__}"] = thing
    return found


def _is_record(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))


def _name_of(kind: type) -> str:
    """Return the name under which a record is saved."""
    return f"{kind.__module__.partition('.')[2]}.{kind.__qualname__}"


class Writer:
    """Writes one result; remembers what it has written."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._alive: list[object] = []  # so that no number of an object is used twice

    def __call__(self, value: object) -> Json:
        """Return a value as JSON."""
        if value is None or type(value) in (str, bool, int):
            return value
        if type(value) is float:
            return value if np.isfinite(value) else {"is": "float", "of": str(value)}
        if type(value) is tuple:
            return [self(one) for one in value]
        shared = self._numbers.get(id(value))
        if shared is not None:
            return {"is": "same", "as": shared}
        found = self._composite(value)
        if _is_shared(found["is"]):
            self._numbers[id(value)] = len(self._alive)
            self._alive.append(value)
        return found

    def _composite(self, value: Any) -> dict[str, Json]:
        for kind, write in (
            (np.ndarray, array_of),
            (pd.DataFrame, frame_of),
            (pd.Series, series_of),
            (pd.Index, index_of),
            (sparse.csr_array, sparse_of),
        ):
            if isinstance(value, kind):
                found: dict[str, Json] = write(value, self)
                return found
        if isinstance(value, Family):
            return {"is": "family", "of": [value.name, value.link]}
        if type(value) in _CONTRASTS.values():
            own = {name.removeprefix("contrast_"): self(one) for name, one in vars(value).items()}
            return {"is": "contrasts", "of": own, "kind": type(value).__name__}
        if _is_record(type(value)):
            return self._record(value)
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list):
            return {"is": "list", "of": [self(one) for one in value]}
        if isinstance(value, set | frozenset):
            ordered = sorted(value, key=repr)
            return {"is": type(value).__name__, "of": [self(one) for one in ordered]}
        if callable(value):
            return self._call(value)
        return self._small(value)

    def _record(self, value: Any) -> dict[str, Json]:
        kind, name = type(value), _name_of(type(value))
        if records().get(name) is not kind:
            raise DataError(f"A {kind.__name__} is no result of alliance_stats.")
        fields = getattr(kind, "_fields", None) or [
            field.name for field in dataclasses.fields(kind) if field.init
        ]
        try:
            return {"is": name, "of": {field: self(getattr(value, field)) for field in fields}}
        except DataError as reason:
            raise DataError(f"{type(value).__name__}: {reason}") from reason

    def _mapping(self, value: Mapping[Any, object]) -> dict[str, Json]:
        if all(type(key) is str for key in value):
            return {"is": "dict", "of": {key: self(one) for key, one in value.items()}}
        pairs = [[self(key), self(one)] for key, one in value.items()]
        return {"is": "pairs", "of": pairs}

    def _call(self, value: Any) -> dict[str, Json]:
        if isinstance(value, partial):
            named = {name: self(one) for name, one in value.keywords.items()}
            given = [self(one) for one in value.args]
            return {"is": "partial", "of": self(value.func), "args": given, "named": named}
        for name, function in {**FUNCTIONS, **_FOREIGN}.items():
            if function is value:
                return {"is": "function", "of": name}
        raise DataError(
            f"it holds the function {getattr(value, '__name__', value)!r}, which a file cannot "
            "carry. Save what was computed with it as a table."
        )

    def _small(self, value: Any) -> dict[str, Json]:
        if isinstance(value, np.generic):
            return {"is": "scalar", "of": self(np.asarray(value))}
        if isinstance(value, slice):
            return {"is": "slice", "of": [self(value.start), self(value.stop), self(value.step)]}
        if value is UNSET:
            return {"is": "unset"}
        if value is pd.NA or value is pd.NaT:
            return {"is": "missing", "of": "NA" if value is pd.NA else "NaT"}
        if isinstance(value, pd.Timestamp | pd.Timedelta):
            return {"is": type(value).__name__.lower(), "of": value.isoformat()}
        if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            return {"is": "date", "of": value.isoformat()}
        if isinstance(value, Decimal | PurePath):
            return {"is": "decimal" if isinstance(value, Decimal) else "path", "of": str(value)}
        if isinstance(value, str | float | int | bool):  # a kind of these with a name of its own
            return {"is": "scalar", "of": self(np.asarray(value))}
        raise DataError(f"a {type(value).__name__} ({value!r:.40}) cannot be written as JSON.")


def _is_shared(kind: str) -> bool:
    """Say whether values of this kind are numbered on completion."""
    return kind in _NUMBERED or "." in kind


_NUMBERED = (*read_columns, "dict", "pairs", "list", "partial", "family")


class Reader:
    """Reads one result."""

    def __init__(self) -> None:
        self._made: list[object] = []
        self.defaults: list[str] = []
        """Fields that the document does not have, for which the default stands."""

    def __call__(self, document: Json) -> Any:
        """Return the value that JSON stands for."""
        if isinstance(document, list):
            return tuple(self(one) for one in document)
        if not isinstance(document, dict):
            return document
        kind = document.get("is")
        if kind == "same":
            return self._made[document["as"]]
        found = self._composite(str(kind), document)
        if _is_shared(str(kind)):
            self._made.append(found)
        return found

    def _composite(self, kind: str, document: Mapping[str, Json]) -> Any:
        if kind in read_columns:
            return read_columns[kind](document, self)
        if kind in _SMALL:
            return _SMALL[kind](self, document)
        name = _today(kind)
        if name not in records():
            raise DataError(
                f"The file holds a '{kind}', which this version of alliance_stats "
                f"({version('alliance-stats')}) does not know: it was saved by another version, "
                "or is no saved result."
            )
        own = records()[name]
        given = {field: self(one) for field, one in document["of"].items()}
        self._refuse_other_fields(own, given)
        return own(**given)

    def _refuse_other_fields(self, own: type, given: Mapping[str, object]) -> None:
        """Refuse fields that today's record does not have or cannot do without; note new ones."""
        required, optional = _fields_of(own)
        unknown = [name for name in given if name not in required | optional]
        lost = sorted(required - set(given))
        if unknown or lost:
            said = [f"'{name}' is not known here" for name in unknown]
            said += [f"'{name}' is missing" for name in lost]
            raise DataError(
                f"A saved {own.__name__} has other fields than that of this version "
                f"({version('alliance-stats')}): {', '.join(said)}. Load it with the version that "
                "saved it."
            )
        self.defaults += [f"{own.__name__}.{name}" for name in sorted(optional - set(given))]


def _today(name: str) -> str:
    """Return the name that a record or a function has now."""
    if name in FORMER:
        return FORMER[name]
    module, dot, own = name.rpartition(".")
    return f"{FORMER.get(module, module)}{dot}{own}"


def _fields_of(own: type) -> tuple[set[str], set[str]]:
    """Return the fields that a record needs, and those that have a default."""
    if not dataclasses.is_dataclass(own):
        optional = set(getattr(own, "_field_defaults", {}))
        return set(getattr(own, "_fields", ())) - optional, optional
    fields = [field for field in dataclasses.fields(own) if field.init]
    none = dataclasses.MISSING
    optional = {f.name for f in fields if f.default is not none or f.default_factory is not none}
    return {field.name for field in fields} - optional, optional


def _function(reader: Reader, document: Mapping[str, Json]) -> Any:
    del reader
    known = {**FUNCTIONS, **_FOREIGN}
    name = _today(document["of"])
    if name not in known:
        raise DataError(f"The file asks for a function '{document['of']}', which is not known.")
    return known[name]


def _partial(reader: Reader, document: Mapping[str, Json]) -> Any:
    # in the order of writing: numbers count what was finished
    named = {name: reader(one) for name, one in document["named"].items()}
    given = [reader(one) for one in document["args"]]
    return partial(reader(document["of"]), *given, **named)


def _family(reader: Reader, document: Mapping[str, Json]) -> Family:
    del reader
    name, link = document["of"]
    return ordered_family(link) if name == "ordered" else family_of(name, link)


def _contrast(reader: Reader, document: Mapping[str, Json]) -> Any:
    if document["kind"] not in _CONTRASTS:
        raise DataError(f"The file holds contrasts '{document['kind']}', which are not known.")
    return _CONTRASTS[document["kind"]](**{k: reader(v) for k, v in document["of"].items()})


def _each(reader: Reader, document: Mapping[str, Json]) -> list[Any]:
    return [reader(one) for one in document["of"]]


_SMALL: Mapping[str, Callable[[Reader, Mapping[str, Json]], Any]] = {
    "float": lambda _, document: _ODD[document["of"]],
    "dict": lambda reader, document: {k: reader(v) for k, v in document["of"].items()},
    "pairs": lambda reader, document: {reader(k): reader(v) for k, v in document["of"]},
    "list": _each,
    "set": lambda reader, document: set(_each(reader, document)),
    "frozenset": lambda reader, document: frozenset(_each(reader, document)),
    "function": _function,
    "partial": _partial,
    "family": _family,
    "scalar": lambda reader, document: reader(document["of"])[()],
    "slice": lambda reader, document: slice(*_each(reader, document)),
    "unset": lambda *_: UNSET,
    "missing": lambda _, document: pd.NA if document["of"] == "NA" else pd.NaT,
    "contrasts": _contrast,
    "timestamp": lambda _, document: pd.Timestamp(document["of"]),
    "timedelta": lambda _, document: pd.Timedelta(document["of"]),
    "date": lambda _, document: datetime.date.fromisoformat(document["of"]),
    "decimal": lambda _, document: Decimal(document["of"]),
    "path": lambda _, document: Path(document["of"]),
}
