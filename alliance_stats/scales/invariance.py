"""Does a scale measure the same? Factor models with more and more equality constraints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.errors import DataError
from alliance_stats.estimates import one_line
from alliance_stats.ledger import RowLedger
from alliance_stats.scales.factor_model import FactorModel, fitted, observed
from alliance_stats.scales.factor_structure import EQUAL, check_factors
from alliance_stats.scales.model_fit import EXACT

__all__ = ["Invariance", "measurement_invariance"]

_STEPS = ("configural", "metric", "scalar", "strict")
_MEASURES = {
    "chi2": Column("chi2"),
    "cfi": Column("CFI", "bounded"),
    "tli": Column("TLI", "bounded"),
    "rmsea": Column("RMSEA", "bounded", "rmsea_low", "rmsea_high"),
    "srmr": Column("SRMR", "bounded"),
    "bic": Column("BIC"),
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Invariance:
    """Factor models with more and more equality constraints.

    Attributes
    ----------
    models
        Name (configural, metric, scalar, strict) -> the model, each nested in the one before.
    what
        What is compared, in words.
    """

    models: Mapping[str, FactorModel]
    what: str

    __repr__ = one_line

    @property
    def method(self) -> str:
        """How it was computed, in a phrase."""
        first = next(iter(self.models.values()))
        return f"Measurement invariance over {self.what}: {first.method.lower()}"

    @property
    def rows(self) -> RowLedger:
        """Ledger of the rows used and set aside."""
        return next(iter(self.models.values())).rows

    @property
    def notes(self) -> tuple[str, ...]:
        """Cautions for the reader, most serious first."""
        found = [f"{name}: {note}" for name, model in self.models.items() for note in model.notes]
        free = [*self.models.values()][-1].factors.free or {}
        named = [f"{kind} of {', '.join(items)}" for kind, items in free.items() if items]
        if named:
            found.append(f"Partial: not held equal are the {'; the '.join(named)}.")
        return tuple(found)

    def tidy(self) -> pd.DataFrame:
        """Return one row per model.

        Returns
        -------
        DataFrame
            ``model``, then the measures of ``glance()`` of a model, and ``chi2_change, df_change,
            p_change`` (likelihood-ratio test against the model before; with clusters the scaled
            difference of Satorra & Bentler 2001, doi:10.1007/BF02296192), ``cfi_change`` and
            ``rmsea_change`` (the model minus the one before; Cheung & Rensvold 2002,
            doi:10.1207/S15328007SEM0902_5, take a CFI that falls by more than .01 as a sign of
            non-invariance).
        """
        rows: list[dict[str, Any]] = [
            {"model": name, **model.measures.row()} for name, model in self.models.items()
        ]
        for before, own in pairwise(rows):
            df = own["df"] - before["df"]
            chi2 = own["chi2"] * own["scaling"] - before["chi2"] * before["scaling"]
            if df > 0:
                chi2 /= (own["df"] * own["scaling"] - before["df"] * before["scaling"]) / df
            own |= {
                "chi2_change": chi2,
                "df_change": df,
                "p_change": float(stats.chi2.sf(chi2, df)) if df > 0 else np.nan,
                "cfi_change": own["cfi"] - before["cfi"],
                "rmsea_change": own["rmsea"] - before["rmsea"],
            }
        return pd.DataFrame(rows)

    def glance(self) -> pd.DataFrame:
        """Return one row: ``nobs`` and ``n_models``."""
        nobs = next(iter(self.models.values())).measures.nobs
        return pd.DataFrame([{"nobs": nobs, "n_models": len(self.models)}])

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002
        """Return what was found, as data; RMSEA has 90% intervals, as is usual."""
        table = self.tidy()
        exact = (table["df"] == 0) & (table["chi2"] < EXACT)
        table.loc[exact, ["chi2", "srmr"]] = 0.0
        changes = {
            "chi2_change": Column("change of chi2"),
            "df_change": Column("df", "count"),
            "p_change": Column("p", "p"),
            "cfi_change": Column("change of CFI", "bounded"),
        }
        sections = [
            Section("Model", table, ("model",), columns=_MEASURES, conf_level=0.90),
            Section("Held equal", table.iloc[1:][["model", *changes]], ("model",), columns=changes),
        ]
        sizes = {"rows": int(self.glance()["nobs"].iloc[0])}
        return Account.of(self, sizes, sections, (), sources=("meredith1993",))

    summary = summary_of
    _repr_html_ = html_of


def measurement_invariance(
    data: pd.DataFrame,
    factors: Mapping[str, Sequence[str]],
    *,
    group: str | None = None,
    free: Mapping[str, Sequence[str]] | None = None,
    cluster: str | None = None,
) -> Invariance:
    """Compare a scale over groups, or over times or the members of a family.

    Parameters
    ----------
    data
        One row per form.
    factors
        Factor -> its items. Without `group` the factors are one factor at several times, or in
        several members of a family, all in one row: their k-th items are the same item.
    group
        Column of groups of independent rows. If rows belong together (members of a family), give
        the family as `cluster`; where every family has all members, one row per family and one
        factor per member is more informative.
    free
        Partial invariance: ``{"intercepts": ["i3"]}`` are never held equal.
    cluster
        As in :func:`factor_model`.

    Returns
    -------
    Invariance
        Configural (the same items), metric (equal loadings), scalar (equal intercepts too) and
        strict (equal residual variances too).

    Raises
    ------
    DataError, NotIdentifiedError
        As :func:`factor_model`; if there is only one group.

    Notes
    -----
    Meredith 1993, doi:10.1007/BF02294825; over members of a dyad: Tagliabue & Lanz 2014,
    doi:10.1080/00273171.2014.905766.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from alliance_stats.scales import measurement_invariance
    >>> draw = np.random.default_rng(1)
    >>> one = draw.normal(size=300)
    >>> forms = pd.DataFrame({f"i{k}": one + draw.normal(size=300) for k in range(4)})
    >>> forms["role"] = ["mother", "father"] * 150
    >>> found = measurement_invariance(forms, {"bond": ["i0", "i1", "i2", "i3"]}, group="role")
    >>> len(found.tidy())
    4
    """
    repeated = group is None
    if repeated and len(factors) < 2:
        raise DataError("Name group=, or two or more factors with the same items at several times.")
    first = check_factors(factors, equal=(), free=free or {}, repeated=repeated)
    seen = observed(data, first.items, group, cluster, None)
    if not repeated and len(seen.components) < 2:
        raise DataError(f"Column '{group}' has one group only; there is nothing to compare.")
    models = {
        name: fitted(replace(first, equal=EQUAL[:held]), seen) for held, name in enumerate(_STEPS)
    }
    return Invariance(models, f"'{group}'" if group else f"{', '.join(factors)} (repeated)")
