"""Run a document's cells in a Jupyter kernel, as Quarto does, and take their output as Markdown."""

import os
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.quarto_check.document import Cell

SECONDS = 240  # for one cell, on a machine that many share
_QUIET = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "PYTHONWARNINGS": "default"}


def run_cells(cells: Sequence[Cell], folder: Path, problems: list[str]) -> list[str]:
    """Return each cell's output as it reaches Pandoc; stop at the first error."""
    if not cells:
        return []
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.code) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "python3"}},
    )
    client = NotebookClient(
        notebook, timeout=SECONDS, resources={"metadata": {"path": str(folder)}}
    )
    try:
        client.execute(env={**os.environ, **_QUIET})
    except CellExecutionError as error:
        problems.append(f"a cell fails: {error.ename}: {error.evalue}")
    return [
        _output(cell, run.get("outputs", []), problems)
        for cell, run in zip(cells, notebook.cells, strict=True)
    ]


def _output(cell: Cell, outputs: Sequence[dict], problems: list[str]) -> str:
    shown = [_one(output, problems) for output in outputs]
    if cell.options.get("include") is False or cell.options.get("output") is False:
        return ""
    label = str(cell.options.get("label", ""))
    text = "\n\n".join(part for part in shown if part)
    if not label.startswith(("fig-", "tbl-")):
        return text
    caption = cell.options.get(f"{label[:3]}-cap", "")
    alt = str(cell.options.get("fig-alt", "")).replace('"', "'")
    text = text.replace('fig-alt=""', f'fig-alt="{alt}"')
    return f"::: {{#{label}}}\n\n{text}\n\n{caption}\n\n:::\n"


def _one(output: dict, problems: list[str]) -> str:
    if output["output_type"] == "stream":
        if output["name"] == "stderr":
            last = output["text"].strip().splitlines()[-1:]
            problems.append(f"a cell writes to stderr (a warning?): {last}")
            return ""
        return output["text"]
    if output["output_type"] == "error":
        return ""
    data = output["data"]
    if "text/markdown" in data:
        return data["text/markdown"]
    if "image/svg+xml" in data or "image/png" in data:
        return '![](cell-output){fig-alt=""}'
    return data.get("text/html") or data.get("text/plain", "")
