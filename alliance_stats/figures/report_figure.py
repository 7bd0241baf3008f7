"""A figure for a report: drawn once, captioned, described in words, with its numbers."""

import base64
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.text import Text

from alliance_stats.checks import check_choice
from alliance_stats.errors import AllianceStatsWarning, WrongObjectError, warn
from alliance_stats.figures.fonts import FAMILY, glyphless, missing_glyphs
from alliance_stats.figures.style import house_style
from alliance_stats.formatting import is_blank, printable, to_html, to_markdown
from alliance_stats.output import csv_text, write_whole

__all__ = ["DRAWN_BY", "FORMATS", "PRINT_DPI", "ReportFigure", "listed", "require_frame"]

# What draws which result: for whoever hands one to another figure
DRAWN_BY = {
    "AdjustedCurves": "adjusted_curves_figure, curve_differences_figure",
    "APIM": "actor_partner_figure",
    "Comparison": "comparison_figure",
    "CompetingHazards": "forest_figure, predicted_curves_figure",
    "Correlations": "correlation_figure",
    "CoxModel": "forest_figure, predicted_curves_figure, schoenfeld_figure, martingale_figure, "
    "hazard_caterpillar_figure",
    "CrossLagged": "lagged_paths_figure, deviations_figure, impulse_response_figure, "
    "reliability_figure",
    "CumulativeIncidence": "cumulative_incidence_figure",
    "DiscreteHazard": "hazard_figure, hazard_caterpillar_figure",
    "Comparisons": "forest_figure",
    "Contrasts": "forest_figure",
    "DropoutSensitivity": "tipping_point_figure",
    "SensitivityByGroup": "tipping_region_figure",
    "EstimatedMeans": "estimated_means_figure",
    "FineGrayModel": "forest_figure, predicted_curves_figure",
    "GeneralizedLinearMixedModel": "caterpillar_figure",
    "GroupComparison": "estimation_figure, raincloud_figure",
    "JohnsonNeyman": "johnson_neyman_figure",
    "KaplanMeier": "kaplan_meier_figure, curve_differences_figure",
    "LeaveOneOut": "leave_one_out_figure",
    "LandmarkModel": "landmark_figure, forest_figure",
    "LinearMixedModel": "caterpillar_figure, residual_figure, forest_figure",
    "Mediation": "mediation_figure, conditional_effects_figure",
    "MetaAnalysis": "meta_forest_figure, funnel_figure",
    "Multiverse": "specification_figure",
    "OneWithMany": "one_with_many_figure",
    "ParticipantFlow": "participant_flow_figure",
    "Power": "power_figure, interval_width_figure, power_map_figure",
    "ResidualChecks": "residual_checks_figure",
    "RiskAccuracy": "calibration_figure",
    "RestrictedMean": "restricted_mean_figure",
    "RowLedger": "flow_figure",
    "Ruptures": "rupture_chart_figure",
    "Sensitivity": "power_sensitivity_figure",
    "SimpleSlopes": "slopes_figure, forest_figure",
    "SplitAlliance": "split_map_figure",
    "StageTransitions": "stage_figure",
    "StepMeans": "step_figure",
    "ThemeComparison": "theme_figure",
    "StudyDescription": "study_overview_figure",
    "ThemeTransitions": "transition_figure",
    "TrajectoryComparison": "group_trajectory_figure",
    "UnitRanks": "ranks_figure",
    "VaryingCoefficient": "varying_coefficient_figure",
    "VariancePartition": "variance_partition_figure",
    "WithinBetween": "slopes_figure",
}

PRINT_DPI = 300
FORMATS = ("svg", "pdf", "png", "tiff", "eps")
_MOST_LISTED = 8  # rows that an alternative text tells one by one
_SVG_FONTS = f"'{FAMILY}', Verdana, sans-serif"  # Verdana has nearly the same widths
_LABEL = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")


def require_frame(data: object, *, asked: str) -> None:
    """Refuse a result where a frame is expected, and name the function that draws it."""
    name = type(data).__name__
    if name in DRAWN_BY:
        raise WrongObjectError(f"{asked}; got {name}. For a {name}: {DRAWN_BY[name]}.")


def listed(names: Iterable[object], numbers: Sequence[str], *, of: str) -> str:
    """Return ``"a: 0.21 [0.12, 0.30]; b: ..."``, or the first of many and their number."""
    told = [f"{name}: {number}" for name, number in zip(names, numbers, strict=True) if number]
    if len(told) <= _MOST_LISTED:
        return "; ".join(told)
    return f"{'; '.join(told[: _MOST_LISTED // 2])}; and so on ({of}, all in the data)"


@dataclass(frozen=True, slots=True, eq=False)
class ReportFigure:
    """A figure with its label, caption, alternative text, note and numbers.

    Attributes
    ----------
    figure
        A ``matplotlib.figure.Figure`` unknown to pyplot, so that it is shown exactly once.
    label
        Cross-reference label: ``fig-`` and lower-case words joined by hyphens.
    caption
        What is drawn; plain text.
    alt
        Description for readers who cannot see the figure; plain text.
    note
        How it was computed: intervals and their method, n, what was set aside; plain text.
    data
        Every number drawn, tidy.
    again
        Redraws it on another sheet: ``figure.again(width=89)``.
    sources, seed
        Results that the numbers were read from, if the call was given frames, and the seed of
        random draws; for the log of a report.
    """

    figure: Figure
    label: str
    caption: str
    alt: str
    note: str
    data: pd.DataFrame
    again: Callable[..., "ReportFigure"] | None = None
    sources: tuple[object, ...] = ()
    seed: int | None = None

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

    def tiff(self, *, dpi: float = PRINT_DPI) -> bytes:
        """Return the figure as TIFF, compressed without loss, the same bytes each time."""
        self._warn_of_missing_glyphs()
        return _written(self.figure, "tiff", {}, dpi=dpi, pil_kwargs={"compression": "tiff_lzw"})

    def eps(self) -> bytes:
        """Return the figure as EPS, text as text; transparent parts are drawn in paler colours."""
        self._warn_of_missing_glyphs()
        with _opaque(self.figure):
            drawn = _written(self.figure, "eps", {"Creator": "alliance_stats"})
        return re.sub(rb"%%CreationDate:.*\n", b"", drawn)

    def _warn_of_missing_glyphs(self) -> None:
        missing = glyphless(self.figure)
        if missing:
            told = missing_glyphs(missing, label=self.label)
            warn(told, AllianceStatsWarning)

    def html(self) -> str:
        """Return an HTML ``<figure>`` that holds the SVG, the caption and the note."""
        svg = self.svg()
        return (
            f'<figure id="{self.label}">\n{svg[svg.index("<svg ") :]}'
            f"<figcaption>{to_html(self.caption, italics=True)} "
            f"<em>Note.</em> {to_html(self.note, italics=True)}</figcaption>\n</figure>\n"
        )

    def markdown(self, image: str, *, word: str | None = None) -> str:
        """Return the Quarto fragment that shows the file `image` under this label.

        The div form is used because it keeps the label where Quarto rewrites the image. Word shows
        the file `word`: Quarto brings nothing to turn SVG into a picture there, and would lose the
        alternative text of one that is a figure of its own.
        """
        alt = re.sub(r'[\\"{}<>&`]', r"\\\g<0>", printable(self.alt))
        picture = f'![]({image}){{fig-alt="{alt}"}}'
        if word is not None:
            within = re.sub(r"[][\\*_$#|~^'\"{}<>&`!@]", r"\\\g<0>", printable(self.alt))
            picture = (
                f'::: {{.content-visible when-format="docx"}}\n\n![{within}]({word})\\ \n\n:::\n\n'
                f'::: {{.content-hidden when-format="docx"}}\n\n{picture}\n\n:::'
            )
        return (
            f"::: {{#{self.label}}}\n\n{picture}\n\n"
            f"{to_markdown(self.caption)} *Note.* {to_markdown(self.note)}\n\n:::\n"
        )

    def save(
        self,
        folder: str | Path,
        *,
        formats: Sequence[str] = ("svg", "pdf", "png"),
        included_from: str | Path | None = None,
    ) -> Path:
        """Write ``<label>.svg``, ``.pdf``, ``.png`` (300 dpi), ``.csv`` and ``_<label>.qmd``.

        Two runs on one machine write the same bytes; a file is written whole or not at all. In
        the CSV, a text that a spreadsheet would run as a formula (it opens with ``=``, ``+``, ``-``
        or ``@``) has an apostrophe in front; numbers are untouched.

        Parameters
        ----------
        folder
            Target folder; created if it does not exist.
        formats
            Which picture files to write, from :data:`FORMATS`. The fragment shows the first of SVG,
            PNG, TIFF that is written, in Word the PNG with its alternative text.
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
            If no installed font has some of the figure's characters: names them, and what to
            install.
        """
        if isinstance(formats, str):
            formats = (formats,)
        for kind in formats:
            check_choice(kind, FORMATS, name="formats")
        self._warn_of_missing_glyphs()
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written: dict[str, Callable[[], str | bytes]] = {
            "svg": self.svg,
            "pdf": lambda: _pdf(self.figure),
            "png": lambda: _png(self.figure, PRINT_DPI),
            "tiff": self.tiff,
            "eps": self.eps,
        }
        for kind in formats:
            write_whole(folder / f"{self.label}.{kind}", written[kind]())
        write_whole(folder / f"{self.label}.csv", csv_text(self.data))
        shown = next((kind for kind in ("svg", "png", "tiff") if kind in formats), "svg")
        image = Path(os.path.relpath(folder / f"{self.label}.{shown}", included_from or folder))
        word = image.with_suffix(".png").as_posix() if {"svg", "png"} <= set(formats) else None
        fragment = folder / f"_{self.label}.qmd"
        write_whole(fragment, self.markdown(image.as_posix(), word=word))
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


@contextmanager
def _opaque(figure: Figure) -> Iterator[None]:
    """Draw transparent parts in the colour they have on white, since EPS has no transparency."""
    before = []
    for artist in figure.findobj(lambda one: one.get_alpha() is not None):
        alpha = artist.get_alpha()
        if not isinstance(alpha, float):
            continue
        for name in ("color", "facecolor", "edgecolor", "markerfacecolor"):
            get, put = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
            if get is None or put is None or (name == "color" and hasattr(artist, "get_facecolor")):
                continue
            colour = get()
            before.append((put, colour))
            faded = [_on_white(one, alpha) for one in np.atleast_2d(to_rgba_array(colour))]
            put(faded if hasattr(artist, "get_offsets") else faded[0] if faded else colour)
        before.append((artist.set_alpha, alpha))
        artist.set_alpha(None)
    try:
        yield
    finally:
        for put, value in reversed(before):
            put(value)


def _on_white(colour: np.ndarray, alpha: float) -> tuple[float, float, float, float]:
    opacity = alpha if colour[3] > 0 else 0.0
    red, green, blue = (1.0 - opacity + opacity * part for part in colour[:3])
    return red, green, blue, 1.0 if colour[3] > 0 else 0.0


def _png(figure: Figure, dpi: float) -> bytes:
    return _written(figure, "png", {"Software": None}, dpi=dpi)


def _pdf(figure: Figure) -> bytes:
    return _written(figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def _written(
    figure: Figure,
    kind: str,
    metadata: Mapping[str, str | None],
    *,
    dpi: float | str = "figure",
    salt: str = "",
    pil_kwargs: Mapping[str, object] | None = None,
) -> bytes:
    """Return the figure as a file of that kind without dates; `salt` determines an SVG's ids."""
    buffer = io.BytesIO()
    with house_style(), mpl.rc_context({"svg.hashsalt": salt}):
        options = {"pil_kwargs": dict(pil_kwargs)} if pil_kwargs else {"metadata": dict(metadata)}
        figure.savefig(buffer, format=kind, dpi=dpi, **options)
    return buffer.getvalue()
