"""What counts as success: rules that are stated, combined with ``& | ~``, and can be undecided."""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.change import CRITICAL_VALUES, ChangeReference, reliable_change_index
from alliance_stats.checks import check_choice, describe_rows, finite_or_missing, require_columns
from alliance_stats.effect_sizes.record import DUST
from alliance_stats.errors import DataError

__all__ = ["SuccessRule", "cut_point", "judged", "reliable_change", "retained"]


@dataclass(frozen=True, slots=True)
class SuccessRule:
    """A rule that says of each row: success, no success, or undecided.

    Rules combine with ``&``, ``|`` and ``~`` by Kleene's three-valued logic: success *or* undecided
    is success, success *and* undecided is undecided.

    Attributes
    ----------
    name
        The rule in words, as tables print it.
    columns
        What it needs.
    decide
        From a frame to a nullable boolean column: NA is undecided.
    """

    name: str
    columns: tuple[str, ...]
    decide: Callable[[pd.DataFrame], pd.Series]

    def __call__(self, data: pd.DataFrame) -> pd.Series:
        """Return the verdicts on the rows of `data`, as nullable booleans."""
        require_columns(data, list(self.columns))
        return self.decide(data).astype("boolean").rename(self.name)

    def __and__(self, other: "SuccessRule") -> "SuccessRule":
        """Return the rule that asks for both."""
        return SuccessRule(
            f"({self.name} and {other.name})",
            (*self.columns, *other.columns),
            lambda data: self(data) & other(data),
        )

    def __or__(self, other: "SuccessRule") -> "SuccessRule":
        """Return the rule that asks for either."""
        return SuccessRule(
            f"({self.name} or {other.name})",
            (*self.columns, *other.columns),
            lambda data: self(data) | other(data),
        )

    def __invert__(self) -> "SuccessRule":
        """Return the rule that asks for the contrary; undecided stays undecided."""
        return SuccessRule(f"not {self.name}", self.columns, lambda data: ~self(data))


def cut_point(column: str, at: float, *, better: str, inclusive: bool = True) -> SuccessRule:
    """Return the rule "`column` at or beyond `at`" (beyond only, if not `inclusive`).

    `better` is ``"higher"`` or ``"lower"``; a missing score is undecided.
    """
    check_choice(better, ("higher", "lower"), name="better")
    if not np.isfinite(at):
        raise DataError(f"A cut-point must be a finite number; got {at}.")
    sign = {"higher": (">=", ">"), "lower": ("<=", "<")}[better][0 if inclusive else 1]
    compare = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less}[sign]

    def decide(data: pd.DataFrame) -> pd.Series:
        values = finite_or_missing(data, column)
        at_cut = np.abs(values - at) <= DUST * abs(at)  # 0.7 + 0.1 is 0.8
        return _verdicts(compare(np.where(at_cut, at, values), at), ~np.isnan(values), data.index)

    return SuccessRule(f"{column} {sign} {at:g}", (column,), decide)


def reliable_change(
    before: str,
    after: str,
    *,
    reliability: float,
    better: str,
    method: str = "jacobson-truax",
    cut: float | None = None,
    reference: ChangeReference | None = None,
) -> SuccessRule:
    """Return the rule "reliably better" - with `cut`, also across it from the clinical side.

    The index and its critical value are those of
    :func:`alliance_stats.change.reliable_change_index`; cut-offs a, b and c come from
    :func:`alliance_stats.change.cut_off`. Without `reference` the moments are those of the rows
    that the rule is asked about. A missing score is undecided.
    """
    check_choice(better, ("higher", "lower"), name="better")
    check_choice(method, list(CRITICAL_VALUES), name="method")
    sign = 1.0 if better == "higher" else -1.0

    def decide(data: pd.DataFrame) -> pd.Series:
        x, y = finite_or_missing(data, before), finite_or_missing(data, after)
        index = reliable_change_index(
            x, y, reliability=reliability, reference=reference, method=method
        )
        success = sign * index > CRITICAL_VALUES[method]
        if cut is not None:
            success &= (sign * x < sign * cut) & (sign * y > sign * cut)
        return _verdicts(success, ~np.isnan(index), data.index)

    crossing = "" if cut is None else f" across {cut:g}"
    return SuccessRule(
        f"reliably better {after} than {before} ({method}){crossing}", (before, after), decide
    )


def retained(
    column: str = "ending",
    *,
    stayed: Collection[Hashable] = ("planned", "ongoing"),
    left: Collection[Hashable] = ("dropout",),
    undecided: Collection[Hashable] = ("transferred",),
) -> SuccessRule:
    """Return the rule "did not drop out"; who was transferred is undecided."""
    return _by_value(f"retained ({column})", column, stayed, left, undecided)


def judged(
    column: str,
    *,
    success: Collection[Hashable] = (True,),
    failure: Collection[Hashable] = (False,),
    undecided: Collection[Hashable] = (),
) -> SuccessRule:
    """Return the rule "`column` says so": a judgement, or a finding such as all ruptures resolved.

    A value that is in none of the three collections is an error: a rule never guesses.
    """
    return _by_value(f"{column} says so", column, success, failure, undecided)


def _by_value(
    name: str,
    column: str,
    success: Collection[Hashable],
    failure: Collection[Hashable],
    undecided: Collection[Hashable],
) -> SuccessRule:
    both = set(success) & set(failure)
    if both:
        raise DataError(f"{sorted(map(str, both))[0]!r} cannot be both success and failure.")

    def decide(data: pd.DataFrame) -> pd.Series:
        values = data[column]
        won, lost = values.isin(list(success)), values.isin(list(failure))
        known = won | lost | values.isin(list(undecided)) | values.isna()
        if not known.all():
            strange = values[~known].tolist()[0]
            raise DataError(
                f"Column '{column}' holds {strange!r} in {describe_rows(~known, data.index)}, "
                "which the rule does not know; say whether it is success, failure or undecided."
            )
        return _verdicts(won.to_numpy(bool), (won | lost).to_numpy(bool), data.index)

    return SuccessRule(name, (column,), decide)


def _verdicts(success: np.ndarray, decided: np.ndarray, index: pd.Index) -> pd.Series:
    return pd.Series(pd.arrays.BooleanArray(success.astype(bool), ~decided), index=index)
