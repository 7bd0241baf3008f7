"""A page in a headless browser: phone, tablet and desk, light and dark: nothing moves sideways."""

import html
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

from alliance_stats.cli.page import write_page
from alliance_stats.tables import ReportTable
from tests.figure_lint.cases import CASES

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is on the PATH"),
]
MEASURE = """<script>
frame.onload = () => setTimeout(() => {
  const page = frame.contentDocument, root = page.documentElement, wide = root.clientWidth;
  const out = [...page.querySelectorAll('svg, table, .frame, p, figure')].filter(e => {
    const box = e.getBoundingClientRect(), moves = getComputedStyle(e).overflowX === 'auto';
    return box.width > 0 && (box.right > wide + 1 || moves && e.scrollWidth > e.clientWidth + 1);
  });
  const shown = name => getComputedStyle(page.querySelector(name)).display !== 'none';
  document.title = JSON.stringify({
    wide, whole: root.scrollWidth, out: out.map(e => e.tagName),
    ground: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
    phone: shown('.drawing.narrow'), desk: shown('.drawing.wide'),
  });
}, 500);
</script>"""
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(22, 24, 28)"


def table() -> ReportTable:
    words = "Donaudampfschifffahrtsgesellschaftskapitaenswitwe"
    cells = {"Term": ["session", words], "b": ["0.21", "−1.05"], "95% CI": ["[0.12, 0.30]"] * 2}
    return ReportTable(pd.DataFrame(cells), "tbl-x", "A table.", "Numbers are made up.")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "page.html"
    parts = ["See @fig-kaplan-meier and @tbl-x.", CASES["survival"](), table()]
    write_page(path, title="A page", source="Invented.", sections={"One": parts})
    return path


def seen(page, width, scheme):
    frame = f'<iframe id="frame" src="page.html" style="width:{width}px;height:900px;border:0">'
    (page.parent / "frame.html").write_text(
        f'<body style="margin:0">{frame}</iframe>{MEASURE}', encoding="utf-8"
    )
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += ["--allow-file-access-from-files", f"--window-size={width + 20},1000"]
    command += [f"--blink-settings=preferredColorScheme={scheme}", "--virtual-time-budget=9000"]
    address = (page.parent / "frame.html").as_uri()
    done = subprocess.run(
        [*command, "--dump-dom", address], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(html.unescape(re.findall("<title>(.*?)</title>", done.stdout)[0]))


@pytest.mark.parametrize(("scheme", "ground"), [(1, LIGHT), (0, DARK)])
@pytest.mark.parametrize("width", [390, 820, 1400])
def test_nothing_moves_sideways_in_the_light_and_in_the_dark(page, width, scheme, ground):
    found = seen(page, width, scheme)
    assert found["wide"] == width
    assert found["whole"] == width
    assert found["out"] == []
    assert found["ground"] == ground
    assert found["phone"] == (width == 390)
    assert found["desk"] == (width != 390)
