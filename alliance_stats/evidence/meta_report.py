"""A meta-analysis in words."""

from typing import TYPE_CHECKING

from alliance_stats.formatting import format_interval, format_number, p_phrase, plural, t_phrase

if TYPE_CHECKING:
    from alliance_stats.evidence.meta_result import MetaAnalysis

__all__ = ["cautions", "sentences"]


def sentences(model: "MetaAnalysis") -> list[str]:
    """Return what was found, a sentence a line."""
    tidy, glance = model.tidy(), model.glance().iloc[0]
    studies = (
        f" of {plural(int(glance['n_studies']), 'study', 'studies')}"
        if model.effects.studies is not None
        else ""
    )
    lines = [f"{plural(int(glance['nobs']), 'estimate')}{studies}; {model.method}, {model.test}."]
    for _, row in tidy.iterrows():
        told = format_interval(row["conf_low"], row["conf_high"])
        tested = t_phrase(row["statistic"], row["df"], row["p_value"])
        lines.append(f"{row['term']}: {format_number(row['estimate'])} {told}, {tested}.")
    if model.is_pooled and model.effects.measure == "fisher_z":
        r = model.tidy(on="r").iloc[0]
        lines.append(
            f"As a correlation: {format_number(r['estimate'])} "
            f"{format_interval(r['conf_low'], r['conf_high'])}."
        )
    if model.is_pooled and model.method != "fixed":
        expected = model.prediction().iloc[0]
        lines.append(
            "A new effect is expected in "
            f"{format_interval(expected['conf_low'], expected['conf_high'])}."
        )
    lines.append(
        f"tau2 = {format_number(model.tau2, 3)}, I2 = {format_number(glance['i_squared'], 1)}%, "
        f"Q({int(glance['q_df'])}) = {format_number(glance['q'])}, {p_phrase(glance['q_p'])}."
    )
    return lines


def cautions(model: "MetaAnalysis") -> list[str]:
    """Return what to beware of; it stands first in the summary."""
    found = []
    if not model.converged:
        found.append("WARNING: the search for the variances did not end in a flat place.")
    zero = [level for level, tau2 in model.components.items() if tau2 == 0.0]
    if zero and model.method != "fixed":
        found.append(f"NOTE: the variance at level {' and '.join(zero)} is at zero.")
    if model.test == "knapp-hartung" and model.factor < 1.0:
        found.append(
            "NOTE: the Knapp-Hartung standard errors are smaller than the model's own; "
            "test='knapp-hartung-adhoc' keeps them from being so."
        )
    return found
