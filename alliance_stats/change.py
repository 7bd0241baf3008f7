"""Reliable and clinically significant change of single cases.

Reliable change asks whether a case moved by more than measurement error; clinically significant
change asks whether it moved from the range of a clinical to that of a functional population.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from alliance_stats.checks import check_choice
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Array, Booleans, snapped

__all__ = [
    "CRITICAL_VALUES",
    "ChangeReference",
    "classify_change",
    "cut_off",
    "least_reliable_change",
    "reliable_change_index",
]

CRITICAL_VALUES: Mapping[str, float] = MappingProxyType(
    {
        "jacobson-truax": 1.96,
        "gulliksen-lord-novick": 1.96,
        "edwards-nunnally": 2.0,
        "hageman-arrindell": 1.65,
    }
)
"""Method -> the absolute index beyond which its authors call change reliable."""

_ROUNDING = 1e-9  # indices nearer to the critical value than this share of it are at it


@dataclass(frozen=True, slots=True)
class ChangeReference:
    """Moments of the sample to which cases are compared, in units of the scale.

    Attributes
    ----------
    mean_before, sd_before
        Before treatment: all methods need the SD, all but Jacobson-Truax also the mean.
    mean_after, sd_after, correlation
        After treatment, and the correlation of before with after: only for Hageman-Arrindell.
    """

    sd_before: float
    mean_before: float = math.nan
    mean_after: float = math.nan
    sd_after: float = math.nan
    correlation: float = math.nan

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sd_before) and self.sd_before > 0):
            raise DataError(
                f"The SD before treatment must be a positive number; got {self.sd_before}."
            )

    @classmethod
    def from_sample(cls, before: npt.ArrayLike, after: npt.ArrayLike) -> "ChangeReference":
        """Return the moments of the cases that have both scores, the completers.

        Dropouts are excluded: if completers started from different scores, the SD of all cases
        before treatment differs. It can be given with ``ChangeReference(sd_before=...)``.
        """
        x, y = _scores(before, "before"), _scores(after, "after")
        both = ~(np.isnan(x) | np.isnan(y))
        x, y = x[both], y[both]
        if x.size < 3 or np.ptp(x) == 0:
            spread = f", SD before {float(x.std(ddof=1)):g}" if x.size > 1 else ""
            raise NotIdentifiedError(
                f"{x.size} case{'' if x.size == 1 else 's'} with both scores{spread}: too little "
                "to take the reference moments from. Give reference= from a larger sample."
            )
        varies = np.ptp(y) > 0
        return cls(
            sd_before=float(x.std(ddof=1)),
            mean_before=float(x.mean()),
            mean_after=float(y.mean()),
            sd_after=float(y.std(ddof=1)),
            correlation=float(np.corrcoef(x, y)[0, 1]) if varies else math.nan,
        )


def reliable_change_index(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    reliability: float,
    reference: ChangeReference | None = None,
    method: str = "jacobson-truax",
) -> Array:
    """Return each case's index of reliable change, positive where the score rose.

    With ``E = s sqrt(1 - r)``, s and M the SD and mean before, r the reliability, x1 and x2 a
    case's scores:

    - ``"jacobson-truax"``: ``(x2 - x1) / (sqrt(2) E)`` (Jacobson & Truax 1991,
      doi:10.1037/0022-006X.59.1.12);
    - ``"gulliksen-lord-novick"``: ``(x2 - M - r (x1 - M)) / (s sqrt(1 - r^2))`` (Hsu 1989; Bauer,
      Lambert & Nielsen 2004, doi:10.1207/s15327752jpa8201_11);
    - ``"edwards-nunnally"``: ``(x2 - M - r (x1 - M)) / E`` (Speer 1992,
      doi:10.1037/0022-006X.60.3.402);
    - ``"hageman-arrindell"``: ``[(x2 - x1) r_d + (M2 - M1)(1 - r_d)] / (sqrt(2 r_d) E)`` with r_d
      the reliability of difference scores (Hageman & Arrindell 1999,
      doi:10.1016/S0005-7967(99)00032-7).

    Parameters
    ----------
    before, after
        Scores of the cases; NaN where missing.
    reliability
        Reliability of the scale, strictly between 0 and 1; the choice of coefficient is the
        caller's, and there is no default.
    reference
        Moments to which cases are compared; by default those of the cases with both scores
        (:meth:`ChangeReference.from_sample`).
    method
        One of :data:`CRITICAL_VALUES`.

    Returns
    -------
    ndarray
        NaN where a score is missing. Change is reliable beyond ``CRITICAL_VALUES[method]``; an
        index of exactly that value is not.
    """
    check_choice(method, list(CRITICAL_VALUES), name="method")
    x, y = _scores(before, "before"), _scores(after, "after")
    if x.shape != y.shape:
        raise DataError(f"before has {x.size} scores and after {y.size}; one of each per case.")
    r = _check_reliability(reliability)
    moments = reference or ChangeReference.from_sample(x, y)
    s, mean = moments.sd_before, moments.mean_before
    error = s * math.sqrt(1.0 - r)
    if method == "jacobson-truax":
        return np.asarray((y - x) / (math.sqrt(2.0) * error))
    if math.isnan(mean):
        raise DataError(f"method='{method}' needs mean_before in the reference.")
    if method == "hageman-arrindell":
        return _hageman_arrindell(x, y, error, moments)
    regressed = y - mean - r * (x - mean)
    if method == "gulliksen-lord-novick":
        return np.asarray(regressed / (s * math.sqrt(1.0 - r**2)))
    return np.asarray(regressed / error)


def _hageman_arrindell(x: Array, y: Array, error: float, moments: ChangeReference) -> Array:
    s1, s2, correlation = moments.sd_before, moments.sd_after, moments.correlation
    if math.isnan(moments.mean_after) or math.isnan(s2) or math.isnan(correlation):
        raise DataError(
            "method='hageman-arrindell' needs mean_after, sd_after and correlation in the "
            "reference."
        )
    covariance = s1 * s2 * correlation
    true_variance = s1**2 + s2**2 - 2.0 * error**2 - 2.0 * covariance
    reliability = true_variance / (s1**2 + s2**2 - 2.0 * covariance)
    if not reliability > 0:
        raise NotIdentifiedError(
            "The differences vary no more than measurement error alone would make them "
            f"(reliability of the difference {reliability:.3g}): Hageman and Arrindell's index has "
            "no denominator."
        )
    shift = (moments.mean_after - moments.mean_before) * (1.0 - reliability)
    return np.asarray(((y - x) * reliability + shift) / (math.sqrt(2.0 * reliability) * error))


def least_reliable_change(
    *, sd: float, reliability: float, critical: float = CRITICAL_VALUES["jacobson-truax"]
) -> float:
    """Return the raw difference beyond which change is reliable: ``critical sd sqrt(2 (1 - r))``.

    In points of the scale, for the method of Jacobson and Truax; a change of exactly that many
    points is not reliable.
    """
    return critical * sd * math.sqrt(2.0 * (1.0 - _check_reliability(reliability)))


def cut_off(
    criterion: str,
    *,
    better: str,
    clinical: tuple[float, float] | None = None,
    functional: tuple[float, float] | None = None,
) -> float:
    """Return Jacobson and Truax's cut-off between the clinical and the functional range.

    - ``"a"``: two clinical SDs beyond the clinical mean, in the functional direction;
    - ``"b"``: two functional SDs short of the functional mean;
    - ``"c"``: the point equally far from both in their own SDs, ``(s0 M1 + s1 M0) / (s0 + s1)``.

    Jacobson & Truax (1991), doi:10.1037/0022-006X.59.1.12; `clinical` and `functional` are
    ``(mean, SD)`` and `better` (``"higher"`` or ``"lower"``) says which scores are functional.
    """
    check_choice(criterion, ("a", "b", "c"), name="criterion")
    sign = _sign(better)
    needs = {"a": {"clinical": clinical}, "b": {"functional": functional}}
    for name, given in needs.get(
        criterion, {"clinical": clinical, "functional": functional}
    ).items():
        if given is None or not given[1] > 0:
            raise DataError(
                f"Cut-off {criterion} needs {name}=(mean, SD) with a positive SD; got {given}."
            )
    if clinical is not None and functional is not None:
        if sign * (functional[0] - clinical[0]) <= 0:
            raise DataError(
                f"better='{better}', but the functional mean {functional[0]:g} is not on that side "
                f"of the clinical mean {clinical[0]:g}."
            )
        if criterion == "c":
            (m1, s1), (m0, s0) = clinical, functional
            return (s0 * m1 + s1 * m0) / (s0 + s1)
    if criterion == "a" and clinical is not None:
        return clinical[0] + sign * 2.0 * clinical[1]
    assert functional is not None  # checked above
    return functional[0] - sign * 2.0 * functional[1]


def classify_change(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    reliability: float,
    better: str,
    cut: float | None = None,
    reference: ChangeReference | None = None,
    method: str = "jacobson-truax",
) -> npt.NDArray[np.object_]:
    """Return each case's change in words.

    ``"recovered"`` (reliably better, and across `cut` from the clinical side), ``"improved"``
    (reliably better), ``"unchanged"``, ``"deteriorated"`` (reliably worse), or None where a score
    is missing. Without `cut` no case is called recovered. Reliable means that the absolute index is
    **above** ``CRITICAL_VALUES[method]``; a score at the cut-off is on neither side of it. With
    ``"hageman-arrindell"`` a case is across the cut-off if its second index also exceeds its
    critical value, ``CS = [M2 + r2 (x2 - M2) - cut] / (sqrt(r2) E)`` with ``r2 = 1 - E^2/s2^2`` the
    reliability after treatment and s2 the SD after it.
    """
    direction = _direction(
        before, after, reliability=reliability, better=better, reference=reference, method=method
    )
    x, y = _scores(before, "before"), _scores(after, "after")
    labels = np.full(x.shape, "unchanged", dtype=object)
    labels[direction > 0] = "improved"
    labels[direction < 0] = "deteriorated"
    if cut is not None:
        across = _crossed(
            x, y, cut, reliability=reliability, better=better, reference=reference, method=method
        )
        labels[(direction > 0) & across] = "recovered"
    labels[np.isnan(direction)] = None
    return labels


def _direction(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    *,
    reliability: float,
    better: str,
    reference: ChangeReference | None,
    method: str,
) -> Array:
    """Return 1 for a case that is reliably better, -1 for one reliably worse, else 0; or NaN."""
    index = reliable_change_index(
        before, after, reliability=reliability, reference=reference, method=method
    )
    beyond = np.where(np.abs(index) > CRITICAL_VALUES[method] * (1.0 + _ROUNDING), 1.0, 0.0)
    return np.where(np.isnan(index), np.nan, _sign(better) * np.sign(index) * beyond)


def _crossed(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    cut: float,
    *,
    reliability: float,
    better: str,
    reference: ChangeReference | None,
    method: str,
) -> Booleans:
    """Return which cases crossed `cut` from the clinical side, as the method defines it."""
    sign = _sign(better)
    if not math.isfinite(cut):
        raise DataError(f"The cut-off must be a finite number; got cut={cut}.")
    x, y = snapped(_scores(before, "before"), cut), snapped(_scores(after, "after"), cut)
    clinical: Booleans = sign * x < sign * cut
    if method != "hageman-arrindell":
        return clinical & (sign * y > sign * cut)
    moments = reference or ChangeReference.from_sample(x, y)
    error = moments.sd_before * math.sqrt(1.0 - _check_reliability(reliability))
    then = 1.0 - (error / moments.sd_after) ** 2
    if not then > 0.0:
        raise NotIdentifiedError(
            f"The scores after treatment (SD {moments.sd_after:g}) vary no more than measurement "
            f"error ({error:g}) alone would make them: Hageman and Arrindell's second index has no "
            "denominator."
        )
    index = (moments.mean_after + then * (y - moments.mean_after) - cut) / (math.sqrt(then) * error)
    return clinical & (sign * index > CRITICAL_VALUES[method] * (1.0 + _ROUNDING))


def _sign(better: str) -> float:
    return 1.0 if check_choice(better, ("higher", "lower"), name="better") == "higher" else -1.0


def _check_reliability(reliability: float) -> float:
    if not 0.0 < reliability < 1.0:
        raise DataError(
            f"reliability must lie strictly between 0 and 1; got {reliability}. At 1 any change "
            "would be reliable, at 0 none could be."
        )
    return reliability


def _scores(values: npt.ArrayLike, name: str) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise DataError(f"{name} must be one-dimensional; it has {array.ndim} dimensions.")
    if np.isinf(array).any():
        raise DataError(f"{name} holds an infinite score; correct it or set it to missing.")
    return array
