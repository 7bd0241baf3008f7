"""Builds the pages of methods: ``python -m docs.build [page ...]``.

Each Markdown page of ``docs/pages`` is copied to ``docs/methods``. Its python blocks are executed
in order, in one namespace a page, and what they print is put beneath them; a block that raises or
warns ends the build, with the page and its line in the traceback. Marks are replaced, so that what
a page says of proofs is what the tests hold:

``[[test_lmm_lme4.LOG_LIK]]``
    the value of a named tolerance of a module in ``tests/parity``;
``[[lmm_lme4]]``
    the R packages, with versions, behind a reference of ``tests/parity/reference``;
``[[coverage/therapist_effect#1]]``
    the first table of a page of ``docs``.

The folders of ``docs/pages`` are sections that only the site shows (:mod:`docs.site`).
"""

import ast
import contextlib
import io
import json
import re
import sys
import textwrap
import warnings
from pathlib import Path

import pandas as pd
from threadpoolctl import threadpool_limits

from alliance_stats.figures import ReportFigure

FOLDER = Path(__file__).parent
PAGES, METHODS = FOLDER / "pages", FOLDER / "methods"
PARITY = FOLDER.parent / "tests" / "parity"
BLOCK = re.compile(r"^```python\n(.*?)^```\n", flags=re.M | re.S)
MARK = re.compile(r"\[\[([a-z0-9_/]+)(?:\.([A-Z0-9_]+)|#(\d))?\]\]")
TABLE = re.compile(r"(?:^\|.*\n)+", flags=re.M)
WIDTH = 100  # of printed sentences
# Printed frames must not depend on the terminal.
DISPLAY = (
    "display.width", 110, "display.max_columns", 20, "display.max_rows", 40,
    "display.max_colwidth", 60, "display.precision", 3,
)  # fmt: skip


def main(names: list[str]) -> None:
    """Write the named pages, or all."""
    METHODS.mkdir(exist_ok=True)
    for path in sorted(PAGES.glob("*.md")):
        if not names or path.stem in names:
            (METHODS / path.name).write_text(built(path), encoding="utf-8")


def sections() -> list[Path]:
    """Return the folders of pages that only the site shows: tasks, explanations, pictures."""
    return sorted(path for path in PAGES.iterdir() if path.is_dir())


def built(path: Path, *, pictures: Path | None = None) -> str:
    """Return the finished page; a block that ends with a figure shows it, from ``pictures``."""
    text = MARK.sub(_proof, path.read_text(encoding="utf-8"))
    namespace: dict[str, object] = {"__name__": path.stem}

    def shown(block: re.Match[str]) -> str:
        # Blank lines before the code make line numbers those of the page.
        above = text.count("\n", 0, block.start(1))
        printed, last = _run("\n" * above + block[1], path, namespace)
        beneath = f"\n```text\n{printed}\n```\n" if printed else ""
        if pictures is not None and isinstance(last, ReportFigure):
            picture = pictures / f"{path.stem}-{above}.png"
            picture.write_bytes(last.png(dpi=150))
            beneath += f"\n![{last.alt}]({picture.name})\n\n*{last.caption}*\n"
        return block[0] + beneath

    return BLOCK.sub(shown, text)


def _run(code: str, path: Path, namespace: dict[str, object]) -> tuple[str, object]:
    """Return what the code prints, without spaces at the ends of lines, and its last value."""
    statements, last = ast.parse(code, str(path)), None
    if statements.body and isinstance(statements.body[-1], ast.Expr):
        last = ast.Expression(statements.body.pop().value)  # type: ignore[attr-defined]
    with (
        contextlib.chdir(path.parent),  # a page reads the files that stand beside it
        contextlib.redirect_stdout(io.StringIO()) as out,
        pd.option_context(*DISPLAY),
        warnings.catch_warnings(),
        threadpool_limits(1),  # many small matrices: threads would only wait for one another
    ):
        warnings.simplefilter("error")
        exec(compile(statements, str(path), "exec"), namespace)
        value = eval(compile(last, str(path), "eval"), namespace) if last else None
    printed = "\n".join(map(_wrapped, out.getvalue().splitlines())).strip("\n")
    return printed, value


def _wrapped(line: str) -> str:
    """Return a printed line; a sentence wrapped, a row of a table (two spaces together) not."""
    line = line.rstrip()
    if len(line) <= WIDTH or "  " in line.lstrip():
        return line
    return textwrap.fill(line, WIDTH, break_long_words=False, break_on_hyphens=False)


def _proof(mark: re.Match[str]) -> str:
    name, constant, table = mark.groups()
    if table:
        page = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        tables: list[str] = TABLE.findall(page)
        return tables[int(table) - 1].rstrip("\n")
    if constant:
        return _number(_constants(PARITY / f"{name}.py")[constant])
    reference = json.loads((PARITY / "reference" / f"{name}.json").read_text(encoding="utf-8"))
    return ", ".join(f"{made} {version}" for made, version in reference["made_with"].items())


def _constants(path: Path) -> dict[str, float]:
    """Return the numbers that a module gives to names in capitals."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
            pairs = (
                zip(target.elts, value.elts, strict=True)
                if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(target, value)]
            )
            for name, number in pairs:
                match name, number:
                    case ast.Name(id=known), ast.Constant(value=float(constant)):
                        found[known] = constant
    return found


def _number(value: float) -> str:
    """Return 1e-7 for 1e-07."""
    mantissa, exponent = f"{value:e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


if __name__ == "__main__":
    main(sys.argv[1:])
