"""The Quarto check finds what it is for, one fault at a time, and nothing in a sound document."""

import pytest

from tests.quarto_check import check_document

FIGURE = '::: {#fig-x}\n\n![](x.svg){fig-alt="A line."}\n\nA line. *p* \\< .001\n\n:::\n'
TABLE = "::: {#tbl-x}\n\n| Term | *p* |\n|---|---:|\n| a | \\< .001 |\n\nA table.\n\n:::\n"
CELL = "```{python}\n#| label: shown\n#| output: asis\nprint('''%s''')\n```\n"
SOUND = f"---\ntitle: A report\n---\n\nSee @fig-x and @tbl-x.\n\n{FIGURE}\n{TABLE}"


def check(folder, text, **files):
    (folder / "x.svg").write_text("<svg/>", encoding="utf-8")
    for name, content in files.items():
        (folder / f"_{name}.yml").write_text(content, encoding="utf-8")
    document = folder / "report.qmd"
    document.write_text(text, encoding="utf-8")
    return check_document(document)


def test_a_sound_document_has_no_problem(tmp_path):
    assert check(tmp_path, SOUND).problems == ()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("@fig-x and", "@fig-y and", "'@fig-y' refers to nothing"),
        ("See ", "See ?@fig-z ", "'?@' stands in the text"),
        ("![](x.svg)", "![](x.svg) ![](x.svg)", "'fig-x' holds 2 images"),
        ('![](x.svg){fig-alt="A line."}', "", "'fig-x' holds 0 images"),
        ('{fig-alt="A line."}', "", "'fig-x' has no alternative text"),
        ('"A line."', '" "', "'fig-x' has no alternative text"),
        ("A line. *p* \\< .001", "", "'fig-x' has no caption"),
        ("A table.", "", "'tbl-x' has no caption"),
        ("x.svg", "y.svg", "'fig-x' shows 'y.svg', which is not there"),
        ("| a | \\< .001 |", "| a | &lt; .001 |", "'&lt;' would be printed as it stands"),
        ("A line. *p* \\< .001", "A line. *p* \\\\< .001", "'\\\\<' would be printed"),
        ("::: {#tbl-x}", "::: {#fig-x}", "label 'fig-x' stands 2 times"),
        (
            "title: A report",
            "title: A\nexecutee: {echo: false}",
            "unknown document option 'executee'; did you mean 'execute'?",
        ),
        ("title: A report", "title: A\nformat: htlm", "unknown format 'htlm'"),
        ("See @fig", "![](x.svg)\n\nSee @fig", "an image stands outside of any labelled"),
        ("See @fig", "{{< include _none.qmd >}}\n\n@fig", "included file '_none.qmd' is not there"),
        ("See @fig", "{{< var a.b >}} @fig", "variable 'a.b' is not in _variables.yml"),
    ],
)
def test_each_fault_is_found(tmp_path, old, new, problem):
    assert old in SOUND
    problems = check(tmp_path, SOUND.replace(old, new, 1)).problems
    assert any(found.startswith(problem) for found in problems), problems


CITING = "---\ntitle: x\nbibliography: refs.bib\n---\n\nAs fitted [@a2001; @b2002].\n"
BIB = "@article{a2001,\n}\n@book{b2002,\n}\n"


@pytest.mark.parametrize(
    ("text", "bib", "problem"),
    [
        (CITING, BIB, ""),
        (CITING, BIB.replace("b2002", "c2003"), "'@b2002' cites nothing"),
        (CITING, BIB + BIB, "'a2001' has 2 references"),
        (CITING, None, "the bibliography 'refs.bib' is not there"),
        (CITING.replace("As", "{{< pagebreak >}} as"), BIB, "a shortcode is left as it was"),
    ],
)
def test_citations_resolve_and_no_shortcode_is_left(tmp_path, text, bib, problem):
    if bib is not None:
        (tmp_path / "refs.bib").write_text(bib, encoding="utf-8")
    found = check(tmp_path, text).problems
    assert found == () if not problem else problem in found


def test_an_escaped_at_sign_and_code_are_no_references(tmp_path):
    text = SOUND.replace("See ", "Write `@fig-none` or name\\@fig-none. <!-- @fig-none --> ")
    assert check(tmp_path, text).problems == ()


def test_includes_and_variables_are_put_in(tmp_path):
    (tmp_path / "_part.qmd").write_text("b = {{< var model.b >}}", encoding="utf-8")
    text = SOUND.replace("See ", "{{< include _part.qmd >}}; see ")
    checked = check(tmp_path, text, variables="model: {b: '0.21'}\n")
    assert checked.problems == ()
    assert "b = 0.21; see" in checked.text


def test_a_misspelt_key_of_the_project_is_found(tmp_path):
    project = (
        "project: {tpye: website}\nwebsite: {title: x}\nfig-widht: 6\n"
        "execute: {ecko: false}\nformat: {html: {tocc: true}}\n"
    )
    assert check(tmp_path, SOUND, quarto=project).problems == (
        "unknown project option 'tpye'; did you mean 'type'?",
        "unknown document option 'fig-widht'; did you mean 'fig-width'?",
        "unknown execute option 'ecko'; did you mean 'echo'?",
        "unknown option of html 'tocc'; did you mean 'toc'?",
    )


def test_what_cells_print_as_it_is_counts_as_text(tmp_path):
    printed = CELL % (FIGURE + TABLE).replace("\\", "\\\\")
    text = f"---\ntitle: x\n---\n\n@fig-x, @tbl-x\n\n{printed}"
    checked = check(tmp_path, text)
    assert checked.problems == ()
    assert "\\< .001" in checked.text


def test_cells_share_a_kernel_and_their_faults_are_found(tmp_path):
    cells = (
        "```{python}\n#| label: one\n#| fig-capp: typo\nimport warnings\na = 1\n```\n"
        "```{python}\n#| label: one\nwarnings.warn(f'{a} sign')\n```\n"
        "```{python}\n#| label: fig-two\n#| fig-cap: Two.\n#| fig-alt: Two lines.\n"
        "from matplotlib import pyplot as plt\nfigure, _ = plt.subplots()\nfigure\n```\n"
        "```{python}\n1 / 0\n```\n"
        "```{python}\na = 'never run'\n```\n"
    )
    problems = check(tmp_path, f"{SOUND}\n{cells}").problems
    found = "\n".join(problems)
    assert "a cell writes to stderr" in found
    assert "'fig-two' holds 2 images" in found
    assert "a cell fails: ZeroDivisionError: division by zero" in found
    assert "unknown cell option 'fig-capp'; did you mean 'fig-cap'?" in found
    assert "label 'one' stands 2 times" in found
    assert len(problems) == 5


def test_a_report_figure_shows_once_under_a_cells_label(tmp_path):
    cell = (
        "```{python}\n#| label: fig-flow\n#| fig-cap: Flow.\n#| fig-alt: Two boxes.\n"
        "import pandas as pd\n"
        "from alliance_stats.figures.flow import flow_figure\n"
        "from alliance_stats.ledger import RowLedger\n"
        "flow_figure(RowLedger.start(pd.DataFrame({'a': [1]})))\n```\n\n@fig-flow\n"
    )
    assert check(tmp_path, SOUND + cell).problems == ()
