"""What an analysis must leave behind, and what its Quarto document must take from it."""

import csv
import json
import re
from pathlib import Path

REPORTS = Path(__file__).parents[2] / "reports"
INCLUDE = re.compile(r"\{\{< include (\S+) >\}\}")
LABEL = re.compile(r"::: \{#((?:fig|tbl)-[a-z0-9-]+)\}")
REFERENCE = re.compile(r"(?<!\\)@((?:fig|tbl)-[a-z0-9]+(?:-[a-z0-9]+)*)")


def numbers_of(folder: Path) -> dict[str, float]:
    return json.loads((folder / "numbers.json").read_text(encoding="utf-8"))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def check_document(name: str, generated: Path) -> str:
    """Check that ``reports/<name>.qmd`` shows every fragment once, and return the whole text."""
    document = (REPORTS / f"{name}.qmd").read_text(encoding="utf-8")
    included = [Path(path) for path in INCLUDE.findall(document)]
    written = {path.name for path in (generated / name).glob("_*.qmd")}
    assert [path.parent for path in included] == [Path("generated") / name] * len(included)
    assert sorted(path.name for path in included) == sorted(written)
    texts = [(generated / name / path.name).read_text(encoding="utf-8") for path in included]
    whole = "\n".join(texts)
    labels = LABEL.findall(whole)
    assert len(labels) == len(set(labels))
    assert set(REFERENCE.findall(whole)) == set(labels)
    return whole


def check_figures(folder: Path, labels: set[str]) -> None:
    """Check that each figure is there in every format, with its numbers."""
    assert {path.stem for path in folder.glob("fig-*.svg")} == labels
    for label in labels:
        for suffix in ("svg", "pdf", "png"):
            assert (folder / f"{label}.{suffix}").stat().st_size > 1000
        assert rows_of(folder / f"{label}.csv")
        fragment = (folder / f"_{label}.qmd").read_text(encoding="utf-8")
        assert f"(generated/{folder.name}/{label}.svg)" in fragment
        assert 'fig-alt="' in fragment
