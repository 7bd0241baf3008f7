"""What counts as success: rules that are stated, combined with ``& | ~``, and can be undecided."""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from alliance_stats.change import CRITICAL_VALUES, ChangeReference, classify_change
from alliance_stats.checks import check_choice, describe_rows, finite_or_missing, require_columns
from alliance_stats.errors import DataError
from alliance_stats.estimates import snapped
from alliance_stats.formatting import decimals_of_spread, format_number, plural
from alliance_stats.renaming import renamed

__all__ = ["SuccessRule", "cut_point", "judged", "reliable_change", "retained"]


def _nothing_to_say(data: pd.DataFrame) -> tuple[str, ...]:  # noqa: ARG001  as remarks are asked for
    return ()


@dataclass(frozen=True, slots=True)
class SuccessRule:
    """A rule that classifies each row as success, no success, or undecided.

    Rules combine with ``&``, ``|`` and ``~`` by Kleene's three-valued logic: success *or* undecided
    is success, success *and* undecided is undecided.

    Attributes
    ----------
    name
        The rule in words, for printing in tables.
    columns
        The columns it needs.
    decide
        From a frame to a nullable boolean column: NA is undecided.
    remarks
        From a frame to what a reader must know about the verdicts on it.
    """

    name: str
    columns: tuple[str, ...]
    decide: Callable[[pd.DataFrame], pd.Series]
    remarks: Callable[[pd.DataFrame], tuple[str, ...]] = _nothing_to_say

    def __call__(self, data: pd.DataFrame) -> pd.Series:
        """Return the verdicts on the rows of `data`, as nullable booleans."""
        require_columns(data, list(self.columns))
        return self.decide(data).astype("boolean").rename(self.name)

    def __and__(self, other: "SuccessRule") -> "SuccessRule":
        """Return the rule that requires both."""
        return SuccessRule(
            f"({self.name} and {other.name})",
            (*self.columns, *other.columns),
            lambda data: self(data) & other(data),
            lambda data: (*self.remarks(data), *other.remarks(data)),
        )

    def __or__(self, other: "SuccessRule") -> "SuccessRule":
        """Return the rule that requires either."""
        return SuccessRule(
            f"({self.name} or {other.name})",
            (*self.columns, *other.columns),
            lambda data: self(data) | other(data),
            lambda data: (*self.remarks(data), *other.remarks(data)),
        )

    def __invert__(self) -> "SuccessRule":
        """Return the opposite rule; undecided stays undecided."""
        return SuccessRule(f"not {self.name}", self.columns, lambda data: ~self(data), self.remarks)


def cut_point(column: str, at: float, *, better: str, inclusive: bool = True) -> SuccessRule:
    """Return the rule "`column` at or beyond `at`" (beyond only, if not `inclusive`).

    `better` is ``"higher"`` or ``"lower"``; a missing score is undecided.

    Examples
    --------
    >>> from alliance_stats.groups import cut_point
    >>> cut_point("last", 5, better="higher").name
    'last >= 5'
    """
    check_choice(better, ("higher", "lower"), name="better")
    if not np.isfinite(at):
        raise DataError(f"A cut-point must be a finite number; got {at}.")
    sign = {"higher": (">=", ">"), "lower": ("<=", "<")}[better][0 if inclusive else 1]
    compare = {">=": np.greater_equal, ">": np.greater, "<=": np.less_equal, "<": np.less}[sign]

    def decide(data: pd.DataFrame) -> pd.Series:
        values = snapped(finite_or_missing(data, column), at)
        return _verdicts(compare(values, at), ~np.isnan(values), data.index)

    return SuccessRule(f"{column} {sign} {at:g}", (column,), decide)


@renamed(cut="cut_off")
def reliable_change(
    before: str,
    after: str,
    *,
    reliability: float,
    better: str,
    method: str = "jacobson-truax",
    cut_off: float | None = None,
    reference: ChangeReference | None = None,
) -> SuccessRule:
    """Return the rule "reliably better" - with `cut_off`, also across it from the clinical side.

    The index and its critical value are those of
    :func:`alliance_stats.change.reliable_change_index`; cut-offs a, b and c come from
    :func:`alliance_stats.change.cut_off`. Without `reference` the moments are those of the rows
    to which the rule is applied and that have both scores; where others were rated only before,
    the classification says both SDs. A missing score is undecided.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import classify
    >>> from alliance_stats.groups import reliable_change
    >>> data = pd.DataFrame({"before": [30.0, 28.0, 25.0], "after": [12.0, 27.0, 30.0]})
    >>> rule = reliable_change("before", "after", reliability=0.9, better="lower")
    >>> classify(data, rule).tidy()
              label  n     share  conf_low  conf_high
    0    successful  1  0.333333  0.008404   0.905701
    1  unsuccessful  2  0.666667  0.094299   0.991596
    2     undecided  0       NaN       NaN        NaN
    """
    check_choice(better, ("higher", "lower"), name="better")
    check_choice(method, list(CRITICAL_VALUES), name="method")

    def decide(data: pd.DataFrame) -> pd.Series:
        x, y = finite_or_missing(data, before), finite_or_missing(data, after)
        change = classify_change(
            x,
            y,
            reliability=reliability,
            better=better,
            cut=cut_off,
            reference=reference,
            method=method,
        )
        words = ["recovered"] if cut_off is not None else ["improved", "recovered"]
        success = pd.Series(change).isin(words).to_numpy()
        return _verdicts(success, ~np.isnan(x + y), data.index)

    crossing = "" if cut_off is None else f" across {cut_off:g}"
    return SuccessRule(
        f"reliably better {after} than {before} ({method.title()}){crossing}",
        (before, after),
        decide,
        partial(_whose_sd, before, after) if reference is None else _nothing_to_say,
    )


def _whose_sd(before: str, after: str, data: pd.DataFrame) -> tuple[str, ...]:
    """Say whose SD was used for change, where the completers' differs from everyone's."""
    x, y = finite_or_missing(data, before), finite_or_missing(data, after)
    all_, both = x[~np.isnan(x)], x[~np.isnan(x + y)]
    if both.size < 2 or both.size == all_.size:
        return ()
    sd, sd_all = float(both.std(ddof=1)), float(all_.std(ddof=1))
    digits = decimals_of_spread(min(sd, sd_all))
    return (
        f"change in '{after}' is held against the SD before of the {plural(both.size, 'case')} "
        f"with both scores, {format_number(sd, digits)}; all {all_.size} had "
        f"{format_number(sd_all, digits)} (reference= takes another)",
    )


def retained(
    column: str = "ending",
    *,
    stayed: Collection[Hashable] = ("planned", "ongoing"),
    left: Collection[Hashable] = ("dropout",),
    undecided: Collection[Hashable] = ("transferred",),
) -> SuccessRule:
    """Return the rule "did not drop out"; a transfer is undecided.

    Examples
    --------
    >>> from alliance_stats.groups import retained
    >>> retained().name
    'retained (ending)'
    """
    return _by_value(f"retained ({column})", column, stayed, left, undecided)


def judged(
    column: str,
    *,
    success: Collection[Hashable] = (True,),
    failure: Collection[Hashable] = (False,),
    undecided: Collection[Hashable] = (),
) -> SuccessRule:
    """Return the rule "`column` says so": a judgement, or a finding ("all ruptures resolved").

    A value that is in none of the three collections is an error: a rule never guesses.

    Examples
    --------
    >>> from alliance_stats.groups import judged
    >>> judged("parent_alliance", success=["successful"], failure=["unsuccessful"]).name
    'parent_alliance says so'
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
