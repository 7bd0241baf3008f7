"""A figure as a report takes it: drawn once, captioned, described in words, with its numbers."""

import base64
import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.text import Text

from alliance_stats.errors import AllianceStatsWarning, WrongObjectError
from alliance_stats.figures.fonts import FAMILY, glyphless, missing_glyphs
from alliance_stats.figures.style import house_style
from alliance_stats.formatting import is_blank, printable, to_html, to_markdown
from alliance_stats.output import csv_text, write_whole

__all__ = ["DRAWN_BY", "PRINT_DPI", "ReportFigure", "require_frame"]

# What draws which result: for whoever hands one to another figure
DRAWN_BY = {
    "APIM": "actor_partner_figure",
    "Comparison": "comparison_figure",
    "CompetingHazards": "forest_figure(model.odds_ratios(), ...)",
    "Correlations": "correlation_figure",
    "CoxModel": "forest_figure(model.hazard_ratios(), ...)",
    "CumulativeIncidence": "cumulative_incidence_figure",
    "DiscreteHazard": "hazard_figure, hazard_caterpillar_figure",
    "DropoutSensitivity": "tipping_point_figure",
    "FineGrayModel": "forest_figure(model.hazard_ratios(), ...)",
    "GeneralizedLinearMixedModel": "caterpillar_figure",
    "GroupComparison": "estimation_figure, raincloud_figure",
    "JohnsonNeyman": "johnson_neyman_figure",
    "KaplanMeier": "kaplan_meier_figure",
    "LinearMixedModel": "caterpillar_figure, residual_figure",
    "MetaAnalysis": "meta_forest_figure, meta_funnel_figure",
    "OneWithMany": "one_with_many_figure",
    "RowLedger": "flow_figure",
    "Ruptures": "rupture_chart_figure",
    "SimpleSlopes": "forest_figure(slopes.tidy(), scale='difference', ...)",
    "SplitAlliance": "split_map_figure",
    "ThemeComparison": "theme_figure(themes.prevalence(), ...)",
    "ThemeTransitions": "transition_figure",
    "TrajectoryComparison": "group_trajectory_figure",
    "VariancePartition": "variance_partition_figure(shares.tidy(), ...)",
    "WithinBetween": "slopes_figure(found.tidy(), ...)",
}

PRINT_DPI = 300
_SVG_FONTS = f"'{FAMILY}', Verdana, sans-serif"  # Verdana has nearly the same widths
_LABEL = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")


def require_frame(data: object, *, asked: str) -> None:
    """Refuse a result where its frame is drawn, and say which function draws it."""
    name = type(data).__name__
    if name in DRAWN_BY:
        raise WrongObjectError(f"{asked}; got {name}. For a {name}: {DRAWN_BY[name]}.")


@dataclass(frozen=True, slots=True, eq=False)
class ReportFigure:
    """A figure with its label, caption, alternative text, note and numbers.

    Attributes
    ----------
    figure
        A ``matplotlib.figure.Figure`` that pyplot does not know, so that it shows exactly once.
    label
        Cross-reference label: ``fig-`` and lower-case words joined by hyphens.
    caption
        What is drawn, from the numbers; plain text.
    alt
        What a reader who cannot see the figure is told; plain text.
    note
        How it was computed: intervals and their method, n, what was set aside; plain text.
    data
        Every number drawn, tidy.
    """

    figure: Figure
    label: str
    caption: str
    alt: str
    note: str
    data: pd.DataFrame

    def __post_init__(self) -> None:
        if not _LABEL.fullmatch(self.label):
            raise ValueError(
                f"label must be 'fig-' and lower-case words joined by hyphens, such as "
                f"'fig-trajectories' (Quarto resolves no other); got {self.label!r}."
            )
        for name, text in (("caption", self.caption), ("alt", self.alt), ("note", self.note)):
            if is_blank(text):
                raise ValueError(f"{self.label} has an empty {name}: say what the figure shows.")
        for written in self.figure.findobj(Text):
            said = written.get_text()
            if said.strip() and is_blank(said):
                raise ValueError(f"{self.label}: a label of the figure is blank; got {said!r}.")
        if self.data.empty:
            raise ValueError(f"{self.label} has no data: give a frame of the numbers drawn.")
        if getattr(self.figure.canvas, "manager", None) is not None:
            raise ValueError(
                f"{self.label} holds a pyplot figure, which notebooks show twice; "
                "make it with matplotlib.figure.Figure(...)."
            )

    def svg(self) -> str:
        """Return the figure as SVG text, the same bytes each time, its text left as text."""
        no_dates = {"Date": None, "Creator": None}
        drawn = _written(self.figure, "svg", no_dates, salt=self.label).decode("utf-8")
        # Nothing refers to groups, and their names would repeat on a page of several figures
        text = re.sub(r'<g id="[^"]*"', "<g", drawn)
        text = re.sub(rf"font-family: '{FAMILY}'[^;\"]*", f"font-family: {_SVG_FONTS}", text)
        return text.replace("<svg ", f'<svg role="img" aria-label="{to_html(self.alt)}" ', 1)

    def png(self, *, dpi: float = PRINT_DPI) -> bytes:
        """Return the figure as PNG, the same bytes each time.

        Warns
        -----
        AllianceStatsWarning
            If no installed font has some of the figure's characters.
        """
        self._warn_of_missing_glyphs()
        return _png(self.figure, dpi)

    def pdf(self) -> bytes:
        """Return the figure as PDF, the same bytes each time, fonts embedded as text.

        Warns
        -----
        AllianceStatsWarning
            If no installed font has some of the figure's characters.
        """
        self._warn_of_missing_glyphs()
        return _pdf(self.figure)

    def _warn_of_missing_glyphs(self) -> None:
        missing = glyphless(self.figure)
        if missing:
            told = missing_glyphs(missing, label=self.label)
            warnings.warn(told, AllianceStatsWarning, stacklevel=3)

    def html(self) -> str:
        """Return an HTML ``<figure>`` that holds the SVG, the caption and the note."""
        svg = self.svg()
        return (
            f'<figure id="{self.label}">\n{svg[svg.index("<svg ") :]}'
            f"<figcaption>{to_html(self.caption, italics=True)} "
            f"<em>Note.</em> {to_html(self.note, italics=True)}</figcaption>\n</figure>\n"
        )

    def markdown(self, image: str) -> str:
        """Return the Quarto fragment that shows the file `image` under this label.

        The div form is used because it keeps the label where Quarto rewrites the image.
        """
        alt = re.sub(r'[\\"{}<>&`]', r"\\\g<0>", printable(self.alt))
        return (
            f'::: {{#{self.label}}}\n\n![]({image}){{fig-alt="{alt}"}}\n\n'
            f"{to_markdown(self.caption)} *Note.* {to_markdown(self.note)}\n\n:::\n"
        )

    def save(self, folder: str | Path, *, included_from: str | Path | None = None) -> Path:
        """Write ``<label>.svg``, ``.pdf``, ``.png`` (300 dpi), ``.csv`` and ``_<label>.qmd``.

        Two runs on one machine write the same bytes; a file is written whole or not at all. In
        the CSV, a text that a spreadsheet would run as a formula (it opens with ``=``, ``+``, ``-``
        or ``@``) has an apostrophe in front; numbers are untouched.

        Parameters
        ----------
        folder
            Where to; made if it is not there.
        included_from
            Folder of the document that will include the fragment; Quarto reads an image's path
            from there. The folder itself, if not given.

        Returns
        -------
        Path
            The fragment, for ``{{< include ... >}}``. Its name starts with an underscore so that
            Quarto does not take it for a document of its own.

        Warns
        -----
        AllianceStatsWarning
            If no installed font has some of the figure's characters: says which, and what to
            install.
        """
        self._warn_of_missing_glyphs()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        svg = folder / f"{self.label}.svg"
        write_whole(svg, self.svg())
        write_whole(folder / f"{self.label}.pdf", _pdf(self.figure))
        write_whole(folder / f"{self.label}.png", _png(self.figure, PRINT_DPI))
        write_whole(folder / f"{self.label}.csv", csv_text(self.data))
        image = os.path.relpath(svg, included_from or folder)
        fragment = folder / f"_{self.label}.qmd"
        write_whole(fragment, self.markdown(Path(image).as_posix()))
        return fragment

    def _repr_mimebundle_(
        self, include: object = None, exclude: object = None
    ) -> tuple[dict[str, str], dict[str, dict[str, object]]]:
        """Show the figure once: as HTML with caption and note, or as the picture alone."""
        del include, exclude  # the front end picks; all are cheap
        width, height = (round(96 * inches) for inches in self.figure.get_size_inches())
        data = {
            "text/html": self.html(),
            "image/svg+xml": self.svg(),
            "image/png": base64.b64encode(self.png()).decode("ascii"),
        }
        return data, {"image/png": {"width": width, "height": height, "alt": self.alt}}


def _png(figure: Figure, dpi: float) -> bytes:
    return _written(figure, "png", {"Software": None}, dpi=dpi)


def _pdf(figure: Figure) -> bytes:
    return _written(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def _written(
    figure: Figure,
    kind: str,
    metadata: dict[str, None],
    *,
    dpi: float | str = "figure",
    salt: str = "",
) -> bytes:
    """Return the figure as a file of that kind without dates; `salt` makes an SVG's ids."""
    buffer = io.BytesIO()
    with house_style(), mpl.rc_context({"svg.hashsalt": salt}):
        figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()
