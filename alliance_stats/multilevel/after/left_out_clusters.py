"""A model refitted without each cluster in turn."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from alliance_stats.account import Account, Column, Section, html_of, summary_of
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import one_line, two_sided_p
from alliance_stats.formatting import format_count
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel.clusters import clusters_of, refitted_without
from alliance_stats.multilevel.linear_mixed_model import LinearMixedModel, require_linear

__all__ = ["LeaveOneOut", "leave_one_out"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeaveOneOut:
    """A model refitted without each cluster in turn, made by :func:`leave_one_out`.

    Attributes
    ----------
    cluster
        What was left out.
    table
        A row a cluster and term; see :meth:`tidy`.
    rows
        The ledger of the fit's rows.
    """

    cluster: str
    table: pd.DataFrame
    rows: RowLedger

    __repr__ = one_line

    def tidy(self) -> pd.DataFrame:
        """Return one row a cluster and coefficient.

        Returns
        -------
        DataFrame
            ``level`` (who was left out), ``n`` (its rows), ``term, estimate, std_error, statistic,
            p_value`` (normal) of the model without it, ``change`` (that estimate minus the whole
            model's, in its standard errors) and ``sd_<grouping>`` (SD of the intercepts, or of the
            first random effect). NaN where what is left does not determine the coefficients.
        """
        return self.table.copy()

    def glance(self) -> pd.DataFrame:
        """Return one row a coefficient: the range of its estimates, and who changes it most."""
        found = []
        for term, own in self.table.groupby("term", sort=False):
            known = own.dropna(subset="change")
            most = known.loc[known["change"].abs().idxmax()] if len(known) else None
            found.append(
                {
                    "term": term,
                    "lowest": own["estimate"].min(),
                    "highest": own["estimate"].max(),
                    "most_by": None if most is None else most["level"],
                    "change": np.nan if most is None else most["change"],
                }
            )
        return pd.DataFrame(found)

    @property
    def method(self) -> str:
        """What was done."""
        n = self.table["level"].nunique()
        return f"model refitted {format_count(n)} times, each time without one {self.cluster}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Who alone carries a coefficient."""
        lost = self.table.loc[self.table["estimate"].isna(), "level"].drop_duplicates()
        if not len(lost):
            return ()
        return (
            f"Without {', '.join(map(str, lost))} the rest does not determine the coefficients.",
        )

    def account(self, *, conf_level: float = 0.95) -> Account:  # noqa: ARG002  (as all results)
        """Return the range of each coefficient, and who changes it most."""
        found = Section(
            "Coefficients without one",
            self.glance(),
            names=("term", "most_by"),
            columns={
                "lowest": Column("lowest"),
                "highest": Column("highest"),
                "change": Column("change in SE"),
            },
            measure="",
        )
        sizes = {"rows": self.rows.n_used, self.cluster: self.table["level"].nunique()}
        return Account(self.method, self.notes, sizes, (found,), rows=self.rows)

    summary = summary_of
    _repr_html_ = html_of


def leave_one_out(model: LinearMixedModel, cluster: str) -> LeaveOneOut:
    """Refit a model without each cluster in turn: variances and coefficients.

    Parameters
    ----------
    model
        A fitted ``lmm``.
    cluster
        A grouping factor of the model that contains every random effect.

    Returns
    -------
    LeaveOneOut
        With ``tidy()`` (a row a cluster and coefficient), ``glance()`` (who changes most).

    Raises
    ------
    DataError
        A cluster that is no grouping factor, or that a random effect crosses.
    NotIdentifiedError
        Fewer than three clusters.

    Examples
    --------
    >>> import pandas as pd
    >>> from alliance_stats import meta_analysis
    >>> from alliance_stats.evidence import leave_one_out
    >>> studies = pd.DataFrame({"r": [0.2, 0.3, 0.25, 0.4], "n": [50, 80, 120, 60]})
    >>> leave_one_out(meta_analysis(studies, r="r", n="n"))["estimate"].round(3).tolist()
    [0.31, 0.288, 0.318, 0.262]
    """
    require_linear(model, asked="leave_one_out refits")
    fit = model.fit
    clusters = clusters_of(fit, cluster)
    found = [g for g in fit.design.groupings if g.name == cluster]
    if not found:
        raise DataError(f"'{cluster}' has no random effect: leave_one_out leaves out such units.")
    grouping = found[0]
    if len(grouping.labels) < 3:
        raise NotIdentifiedError(f"leave_one_out needs three units of '{cluster}' or more.")
    names = [fit.design.fixed.names[i] for i in fit.design.fixed.kept]
    whole, error, frames = fit.beta, np.sqrt(np.diag(fit.vcov)), []
    for unit, label in enumerate(grouping.labels):
        kept = clusters != unit
        columns = {
            "estimate": np.full(len(names), np.nan),
            "std_error": np.full(len(names), np.nan),
        }
        sds = {f"sd_{g.name}": np.nan for g in fit.design.groupings}
        try:
            left = refitted_without(fit, kept)
            columns = {"estimate": left.beta, "std_error": np.sqrt(np.diag(left.vcov))}
            for g, D in zip(left.design.groupings, left.covariances, strict=True):
                sds[f"sd_{g.name}"] = float(np.sqrt(D[0, 0]))
        except np.linalg.LinAlgError:  # the unit alone determines a coefficient
            pass
        t = columns["estimate"] / columns["std_error"]
        frames.append(
            pd.DataFrame(
                {
                    "level": label,
                    "n": int((~kept).sum()),
                    "term": names,
                    **columns,
                    "statistic": t,
                    "p_value": two_sided_p(t, df=np.full(len(t), np.inf)),
                    "change": (columns["estimate"] - whole) / error,
                    **sds,
                }
            )
        )
    return LeaveOneOut(cluster, pd.concat(frames, ignore_index=True), model.rows)
