"""Options that Quarto knows, of those a report may need; any other is taken for a slip.

Quarto passes over what it does not know without a word. The names are those of its reference
(quarto.org/docs/reference: cells, formats, projects). An option that is missing here is looked up
there and added. `fig-width` and `fig-height` are left out for cells on purpose: Quarto does not
heed them in a Python cell.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

_EXECUTE = {"cache", "daemon", "debug", "echo", "enabled", "error", "eval", "freeze", "include"}
_EXECUTE |= {"output", "warning"}
_CELL = {"cap-location", "cache", "classes", "code-fold", "code-line-numbers", "code-overflow"}
_CELL |= {"code-summary", "column", "echo", "error", "eval", "fig-align", "fig-alt", "fig-cap"}
_CELL |= {"fig-cap-location", "fig-column", "fig-link", "fig-pos", "fig-scap", "fig-subcap"}
_CELL |= {"id", "include", "label", "layout", "layout-align", "layout-ncol", "layout-nrow"}
_CELL |= {"layout-valign", "lst-cap", "lst-label", "output", "tags", "tbl-cap"}
_CELL |= {"tbl-cap-location", "tbl-colwidths", "tbl-column", "tbl-subcap", "warning"}
_FORMAT = {"anchor-sections", "cap-location", "citations-hover", "cite-method"}
_FORMAT |= {"code-copy", "code-fold", "code-overflow", "code-tools", "columns", "crossrefs-hover"}
_FORMAT |= {"css", "df-print", "email-obfuscation", "embed-resources", "fig-align"}
_FORMAT |= {"fig-cap-location", "fig-dpi", "fig-format", "fig-height", "fig-responsive"}
_FORMAT |= {"fig-width", "fontsize", "grid", "html-math-method", "html-table-processing"}
_FORMAT |= {"include-after-body", "include-before-body", "include-in-header", "keep-ipynb"}
_FORMAT |= {"keep-md", "lightbox", "link-external-icon", "linkcolor", "mainfont", "margin"}
_FORMAT |= {"minimal", "number-depth", "number-sections", "output-ext"}
_FORMAT |= {"output-file", "page-layout", "papersize", "prefer-html", "reference-doc", "sansfont"}
_FORMAT |= {"section-numbering", "self-contained-math", "shift-heading-level-by", "smooth-scroll"}
_FORMAT |= {"standalone", "tbl-cap-location", "tbl-colwidths", "template", "theme", "toc"}
_FORMAT |= {"toc-depth", "toc-expand", "toc-location", "toc-title", "wrap"}
_DOCUMENT = _FORMAT | {"abstract", "abstract-title", "aliases", "appendix-style", "author"}
_DOCUMENT |= {"authors", "bibliography", "categories", "citation", "citeproc", "copyright"}
_DOCUMENT |= {"crossref", "csl", "date", "date-format", "description", "doi", "draft", "editor"}
_DOCUMENT |= {"engine", "execute", "filters", "format", "image", "ipynb-filters", "jupyter"}
_DOCUMENT |= {"keywords", "lang", "license", "link-citations", "metadata-files", "nocite", "order"}
_DOCUMENT |= {"params", "references", "resources", "search", "shortcodes", "subtitle"}
_DOCUMENT |= {"title", "title-block-banner", "title-block-style"}
_PROJECT = {"lib-dir", "output-dir", "post-render", "pre-render", "preview", "render", "resources"}
_PROJECT |= {"execute-dir", "title", "type"}
_WEBSITE = {"back-to-top-navigation", "bread-crumbs", "description", "draft-mode", "drafts"}
_WEBSITE |= {"favicon", "google-analytics", "image", "navbar", "open-graph", "page-footer"}
_WEBSITE |= {"page-navigation", "reader-mode", "repo-actions", "repo-url", "search", "sidebar"}
_WEBSITE |= {"site-path", "site-url", "title", "twitter-card"}
_FORMATS = {"docx", "gfm", "html", "ipynb", "latex", "odt", "pdf", "revealjs", "typst"}


def unknown_cell_options(options: Mapping[str, object]) -> Iterator[str]:
    yield from _unknown(options, _CELL, "cell option")


def unknown_document_options(settings: Mapping[str, object]) -> Iterator[str]:
    """Yield unknown keys of a front matter."""
    yield from _unknown(settings, _DOCUMENT, "document option")
    yield from _unknown(_mapping(settings.get("execute")), _EXECUTE, "execute option")
    formats = settings.get("format")
    named = {formats: {}} if isinstance(formats, str) else _mapping(formats)
    yield from _unknown(named, _FORMATS, "format")
    for name, options in named.items():
        yield from _unknown(_mapping(options), _FORMAT | _EXECUTE, f"option of {name}")


def unknown_project_options(file: Path) -> Iterator[str]:
    """Yield unknown keys of a ``_quarto.yml``."""
    settings = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    common = {k: v for k, v in settings.items() if k not in {"project", "website"}}
    yield from _unknown(_mapping(settings.get("project")), _PROJECT, "project option")
    yield from _unknown(_mapping(settings.get("website")), _WEBSITE, "website option")
    yield from unknown_document_options(common)


def _unknown(given: Mapping[str, object], known: set[str], what: str) -> Iterator[str]:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            yield f"unknown {what} '{name}'{hint}"


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
