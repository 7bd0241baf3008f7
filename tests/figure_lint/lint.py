"""What is wrong with a figure, found from its artists as they stand on the page."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.spines import Spine
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from alliance_stats.figures.fonts import families, glyphless
from alliance_stats.figures.report_figure import ReportFigure
from alliance_stats.figures.style import Theme, house_style

SMALLEST, LARGEST = 8.0, 14.0  # pt at print width
NARROW, SMALLEST_NARROW = 283.5, 7.0  # pt: one column of a journal, and its smallest text
LEAST_CONTRAST = 4.5  # WCAG 2.1, AA for small text
TOUCH = 1.0  # px at 100 dpi: what two boxes may share, since a box is wider than its ink
WIDTHS = (89.0, 127.0, 165.1, 183.0)  # mm, the print widths
MOST_WORDS = 60  # of a caption
TALLEST = 9.6  # in, what a page holds


def lint(report: ReportFigure) -> list[str]:
    """Return every finding, an empty list for a figure that may be printed."""
    figure = report.figure
    with house_style():
        figure.draw_without_rendering()
    texts = list(visible_texts(figure))
    return [
        *fields(report),
        *sizes(texts, figure),
        *glyphs(figure),
        *clipped(texts, figure),
        *overlaps(texts),
        *struck(texts, figure),
        *contrast(texts, figure),
        *axis_labels(figure),
        *told_by_colour(figure),
        *ground(figure),
    ]


def fields(report: ReportFigure) -> Iterator[str]:
    for name in ("label", "caption", "alt", "note"):
        if not getattr(report, name).strip():
            yield f"no {name}"
    if len(report.alt) < 40:
        yield f"alt text says too little: {report.alt!r}"
    if not any(sign.isdigit() for sign in report.caption):
        yield "the caption holds no number"
    if not any(sign.isdigit() for sign in report.alt):
        yield "the alternative text holds no number"
    if report.alt.strip() == report.caption.strip():
        yield "the alternative text repeats the caption"
    if report.data.empty:
        yield "no data"
    width, height = report.figure.get_size_inches()
    if min(abs(25.4 * width - known) for known in WIDTHS) > 0.1:
        yield f"width {25.4 * width:.1f} mm is no print width"
    if height > TALLEST:
        yield f"{height:.1f} in is higher than a page"
    if len(report.caption.split()) > MOST_WORDS:
        yield f"the caption has {len(report.caption.split())} words"
    text = f"{report.caption} {report.alt} {report.note}"
    if "nan" in text.replace("dominan", "").split() or " nan" in text or "None" in text:
        yield f"a missing number in words: {text}"


def drawn(artist: Artist) -> Iterator[Artist]:
    """Yield what is drawn below `artist`; of ticks, only the labels of those in view."""
    for child in artist.get_children():
        if not child.get_visible():
            continue
        if isinstance(artist, Axes) and not artist.axison and isinstance(child, Axis | Spine):
            continue
        if isinstance(child, Axis):
            yield from _axis_texts(child)
            continue
        yield child
        yield from drawn(child)


def _axis_texts(axis: Axis) -> Iterator[Text]:
    labels = [label for tick in axis._update_ticks() for label in (tick.label1, tick.label2)]
    for text in (*labels, axis.label, axis.offsetText):
        if text.get_visible():
            yield text


def visible_texts(figure: Figure) -> Iterator[Text]:
    for artist in drawn(figure):
        if isinstance(artist, Text) and artist.get_text().strip():
            yield artist


def box(text: Text) -> Bbox:
    """Return where the words stand, without an annotation's arrow or a background's padding."""
    return Text.get_window_extent(text)


def sizes(texts: list[Text], figure: Figure) -> Iterator[str]:
    narrow = 72.0 * figure.get_size_inches()[0] < NARROW
    smallest = SMALLEST_NARROW if narrow else SMALLEST
    for text in texts:
        if not smallest - 1e-9 <= text.get_fontsize() <= LARGEST:
            yield f"{_words(text)} is {text.get_fontsize()} pt"
        if text.get_fontfamily() != families():
            yield f"{_words(text)} is set in {text.get_fontfamily()}"


def glyphs(figure: Figure) -> Iterator[str]:
    missing = glyphless(figure)
    if missing:
        yield f"no font has {missing!r}"


def clipped(texts: list[Text], figure: Figure) -> Iterator[str]:
    page = figure.bbox
    for text in texts:
        at = box(text)
        if (
            at.x0 < page.x0 - TOUCH
            or at.y0 < page.y0 - TOUCH
            or at.x1 > page.x1 + TOUCH
            or at.y1 > page.y1 + TOUCH
        ):
            yield f"{_words(text)} is cut off at the page's edge"
        clips = text.get_clip_path() is not None or text.get_clip_box() is not None
        if text.get_clip_on() and clips and text.axes is not None:
            inside = text.axes.bbox
            if not (inside.x0 - TOUCH <= at.x0 and at.x1 <= inside.x1 + TOUCH):
                yield f"{_words(text)} is cut off at the axes' edge"


def overlaps(texts: list[Text]) -> Iterator[str]:
    boxes = [(text, box(text)) for text in texts]
    for (one, a), (other, b) in combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        if wide > TOUCH and high > TOUCH + 1.0:
            yield f"{_words(one)} and {_words(other)} lie over one another"


def struck(texts: list[Text], figure: Figure) -> Iterator[str]:
    """Find lines, markers and patch edges that run through words."""
    paths, marks = list(_drawn_paths(figure)), list(_drawn_marks(figure))
    for text in texts:
        if _has_background(text):
            continue
        at = box(text)
        inner = Bbox.from_extents(at.x0 + 1.0, at.y0 + 2.0, at.x1 - 1.0, at.y1 - 2.0)
        if inner.width <= 0 or inner.height <= 0:
            continue
        hits = [name for name, path, clip in paths if _meets(path, inner, clip)]
        hits += [name for name, centres, half, clip in marks if _covers(centres, half, inner, clip)]
        if hits:
            yield f"{_words(text)} is struck through by {hits[0]}"


def _meets(path: Path, words: Bbox, clip: Bbox | None) -> bool:
    seen = words if clip is None else Bbox.intersection(words, clip)
    return (
        seen is not None
        and len(path.vertices) > 0
        and bool(path.intersects_bbox(seen, filled=False))
    )


def _covers(centres: np.ndarray, half: np.ndarray, words: Bbox, clip: Bbox | None) -> bool:
    seen = words if clip is None else Bbox.intersection(words, clip)
    if seen is None:
        return False
    x, y = centres.T
    across = (x + half > seen.x0) & (x - half < seen.x1)
    return bool(np.any(across & (y + half > seen.y0) & (y - half < seen.y1)))


def _has_background(text: Text) -> bool:
    patch = text.get_bbox_patch()
    return patch is not None and patch.get_facecolor()[3] > 0.75


def _clip(artist: Artist) -> Bbox | None:
    return artist.axes.bbox if artist.axes is not None and artist.get_clip_on() else None


def _drawn_paths(figure: Figure) -> Iterator[tuple[str, Path, Bbox | None]]:
    """Yield every stroke with its name and what it is clipped to."""
    for artist in drawn(figure):
        if isinstance(artist, Line2D):
            if artist.get_linestyle() not in {"None", "", " "} and artist.get_linewidth() > 0:
                path = artist.get_transform().transform_path(artist.get_path())
                yield f"line {artist.get_gid() or artist.get_label()}", path, _clip(artist)
        elif isinstance(artist, LineCollection):
            for path in artist.get_paths():
                whole = artist.get_transform().transform_path(path)
                yield f"LineCollection {artist.get_gid() or ''}", whole, _clip(artist)
        elif isinstance(artist, Patch) and not isinstance(artist, Spine):
            whole = artist.axes is None or artist is artist.axes.patch
            if not whole and artist.get_edgecolor()[3] > 0 and artist.get_linewidth() > 0:
                path = artist.get_transform().transform_path(artist.get_path())
                yield f"edge of {type(artist).__name__}", path, None


def _drawn_marks(figure: Figure) -> Iterator[tuple[str, np.ndarray, np.ndarray, Bbox | None]]:
    """Yield the centres and half widths (px) of every set of marks."""
    per_point = figure.dpi / 72
    for artist in drawn(figure):
        if isinstance(artist, Line2D) and artist.get_marker() not in {"None", "", " ", None}:
            centres = artist.get_transform().transform(artist.get_xydata())
            half = np.full(len(centres), artist.get_markersize() * per_point / 2)
            yield f"marker {artist.get_gid() or artist.get_label()}", centres, half, _clip(artist)
        elif isinstance(artist, PathCollection):
            centres = artist.get_offset_transform().transform(artist.get_offsets())
            if len(centres):
                half = np.sqrt(np.resize(artist.get_sizes(), len(centres))) * per_point / 2
                yield f"PathCollection {artist.get_gid() or ''}", centres, half, _clip(artist)


def contrast(texts: list[Text], figure: Figure) -> Iterator[str]:
    filled = [a for a in drawn(figure) if isinstance(a, Patch) and a.get_facecolor()[3] >= 0.05]
    for text in texts:
        ground = np.array(to_rgba(_background(text, filled, figure))[:3])
        ink = np.array(to_rgba(text.get_color()))
        alpha = ink[3] * (1.0 if text.get_alpha() is None else text.get_alpha())
        seen = alpha * ink[:3] + (1 - alpha) * ground
        ratio = contrast_ratio(seen, ground)
        if ratio < LEAST_CONTRAST:
            yield f"{_words(text)} has a contrast of {ratio:.2f}:1"


def _background(text: Text, filled: list[Patch], figure: Figure) -> object:
    """Return the colour of the smallest filled patch around the words, else the page's."""
    patch = text.get_bbox_patch()
    if patch is not None and patch.get_facecolor()[3] > 0.75:
        return patch.get_facecolor()
    at = box(text)
    found: list[tuple[float, object]] = []
    for other in filled:
        if other is patch:
            continue
        extent = other.get_window_extent()
        if extent.x0 <= at.x0 and extent.x1 >= at.x1 and extent.y0 <= at.y0 and extent.y1 >= at.y1:
            face = np.array(other.get_facecolor())
            found.append((extent.width * extent.height, tuple(face[3] * face[:3] + 1 - face[3])))
    return min(found, default=(0.0, figure.get_facecolor()), key=lambda item: item[0])[1]


def told_by_colour(figure: Figure) -> Iterator[str]:
    """Find curves of one axes, in colours of groups, that differ in nothing but these."""
    groups = {colour.lower() for colour in Theme().colours[:-1]}  # black is no group's alone
    for axes in figure.findobj(Axes):
        seen: set[tuple[str, object]] = set()
        for line in axes.lines:
            colour = to_hex(line.get_color())
            drawn_as_curve = line.get_linestyle() not in {"None", "", " "}
            if colour in groups and drawn_as_curve and len(line.get_xdata()) >= 3:
                look = (line.get_linestyle(), str(line._dash_pattern), line.get_marker())
                seen.add((colour, look))
        looks = {look for _, look in seen}
        # of more curves than there are dashes two must share one
        if len(looks) < min(len(seen), len(groups)):
            yield "curves are told apart by colour alone"


def ground(figure: Figure) -> Iterator[str]:
    """Find a figure without a ground of its own, which a dark page would show through."""
    if to_rgba(figure.get_facecolor())[3] < 1.0:
        yield "the ground is see-through"


def contrast_ratio(one: np.ndarray, other: np.ndarray) -> float:
    """Return the contrast of two sRGB colours (WCAG 2.1)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(rgb: np.ndarray) -> float:
    rgb = np.asarray(rgb, dtype=float)[:3]
    linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def axis_labels(figure: Figure) -> Iterator[str]:
    """Find axes whose ticks carry numbers that no label names."""
    for axes in figure.findobj(Axes):
        part = axes.get_figure(root=False)  # of a panel, or the figure itself
        whole_x, whole_y = bool(part.get_supxlabel()), bool(part.get_supylabel())
        if not axes.get_visible() or not axes.axison:
            continue
        for name, axis, named in (("x", axes.xaxis, whole_x), ("y", axes.yaxis, whole_y)):
            numbers = [t.get_text() for t in axis.get_ticklabels() if t.get_visible()]
            numeric = [n for n in numbers if n.strip("−-0123456789., ×%\n$") == "" and n.strip()]
            if numeric and not axis.label.get_text() and not named and not _shares(axes, axis):
                yield f"the {name} axis has numbers and no label"


def _shares(axes: Axes, axis: object) -> bool:
    """Say whether a neighbour on the same scale carries the label."""
    group = axes.get_shared_x_axes() if axis is axes.xaxis else axes.get_shared_y_axes()
    siblings = group.get_siblings(axes)
    get = (lambda a: a.xaxis) if axis is axes.xaxis else (lambda a: a.yaxis)
    return any(get(other).label.get_text() for other in siblings if other is not axes)


def _words(text: Text) -> str:
    kind = "annotation" if isinstance(text, Annotation) else "text"
    return f"{kind} {text.get_text()[:40]!r}"
