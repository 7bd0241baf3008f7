"""Simulated data are called simulated in every caption."""

from dataclasses import replace

from alliance_stats.figures.report import ReportFigure

__all__ = ["called_simulated"]


def called_simulated(figure: ReportFigure) -> ReportFigure:
    """Return the figure with "Simulated data." in front of its caption."""
    return replace(figure, caption=f"Simulated data. {figure.caption}")
