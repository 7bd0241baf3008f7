"""A user's own two files, under their own names, from `new` to the page."""

import re
import runpy
import subprocess
import sys
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from alliance_stats.cli import app
from alliance_stats.formatting import to_html
from alliance_stats.groups import compare_groups
from alliance_stats.multilevel import lmm
from alliance_stats.scales import Scale, reliability, score_study
from alliance_stats.sentences import report
from alliance_stats.simulate import simulate_study
from alliance_stats.study import Study

MINE = {
    '"sessions.csv"': '"my sessions.csv"',
    '"families.csv"': '"my families.csv"',
    'PERSON = "person"': 'PERSON = "Client"',
    '"role"  #': '"Parent"  #',
    'SESSION = "session"': 'SESSION = "session-no"',
    '"alliance", (1, 7), "Alliance,': '"WAI-S", (1, 7), "WAI-S,',
    'OUTCOME: str | None = "symptoms"': 'OUTCOME = "OQ-45"',
    '"Symptoms (points, higher is worse)"': '"OQ-45 total"',
    'FAMILY: str | None = "family"': 'FAMILY = "Family ID"',
    '"therapist"  #': '"Clinician"  #',
    'ENDING: str | None = "ending"': 'ENDING = "How ended"',
    'GROUP: str | None = "parent_alliance"': 'GROUP = "Arm & site"',
}

WAI = Scale(name="wai", items=("q1", "q2", "q3", "q4"), limits=(1, 7), reversed=("q2",))
WORDS = {
    "therapist": "therapists",
    "therapist:family": "families",
    "therapist:family:person": "persons",
}


@pytest.fixture(scope="module")
def tables():
    data = simulate_study(therapists=14, families=60, seed=99).study.sessions
    data = data[data["role"] != "partner"]
    number = data["family"].map({name: i for i, name in enumerate(data["family"].unique(), 1)})
    data = data.assign(
        **{
            "Family ID": number,
            "Client": number.map("Fam {:02d} ".format) + data["role"],
            "Clinician": "Dr " + data["therapist"],
            "session": "a column whose name is a role's",
        },
        **{"session-no": data["session"], "Parent": data["role"], "WAI-S": data["alliance"]},
        **{"OQ-45": data["symptoms"], "How ended": data["ending"], "Arm & site": data["framework"]},
    )
    sessions = data[["Family ID", "Client", "Parent", "session-no", "session", "WAI-S", "OQ-45"]]
    families = data.drop_duplicates("Family ID")[
        ["Family ID", "Clinician", "How ended", "Arm & site"]
    ].copy()
    families.loc[families["Family ID"] == 4, "Arm & site"] = None
    extra = pd.DataFrame([[999, "Dr T01", "dropout", "usual"]], columns=families.columns)
    return sessions, pd.concat([families, extra], ignore_index=True)


@pytest.fixture
def folder(tmp_path, tables):
    CliRunner().invoke(app, ["new", str(tmp_path)])
    for name, table in zip(("my sessions.csv", "my families.csv"), tables, strict=True):
        table.to_csv(tmp_path / "data" / name, index=False)
    script = tmp_path / "analysis.py"
    text = script.read_text(encoding="utf-8")
    for old, new in MINE.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    return tmp_path


def page_of(folder) -> str:
    with patch.object(sys, "argv", ["analysis.py"]):
        runpy.run_path(str(folder / "analysis.py"), run_name="__main__")
    return (folder / "page.html").read_text(encoding="utf-8")


def test_the_page_shows_the_users_own_numbers(folder, tables):
    page = page_of(folder)
    sessions, families = tables
    joined = sessions.merge(families, on="Family ID")
    names = {"WAI-S": "alliance", "session-no": "session", "Parent": "role", "Client": "person"}
    names |= {"Clinician": "therapist", "Family ID": "family"}
    rated = joined.drop(columns="session").rename(columns=names).dropna(subset="alliance")
    model = lmm("alliance ~ session + role + (1 | therapist/family/person)", rated)
    assert to_html(report(model, words=WORDS), italics=True) in page

    last = joined["session-no"] == joined.groupby("Family ID")["session-no"].transform("max")
    means = joined[last].groupby("Family ID")["OQ-45"].mean().rename("OQ-45 in the last session")
    compared = compare_groups(
        families.merge(means, left_on="Family ID", right_index=True),
        outcomes=means.name,
        group="Arm & site",
        cluster="Clinician",
    )
    difference = compared.tidy().iloc[0]
    shown = re.search(r"trauma-informed . usual: mean difference = ([−\d.]+)", page)[1]
    assert abs(float(shown.replace("−", "-")) - difference["estimate"]) < 0.005 + 1e-9

    missing = int(sessions["WAI-S"].isna().sum())
    assert f"{missing} set aside: alliance not rated" in page
    assert "1 set aside: family without a session" in page
    assert "1 set aside: Arm &amp; site not known" in page
    assert page.count("<svg ") == 2 * 6  # the second of each for a phone
    assert page.count("<table ") == 2


@pytest.mark.parametrize("off", ["ROLE", "THERAPIST"])
def test_a_study_without_roles_or_therapists_has_a_page_too(folder, off):
    script = folder / "analysis.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(re.sub(rf"^{off}: .*$", f"{off} = None", text, flags=re.M), encoding="utf-8")
    page = page_of(folder)
    assert ("role: " in page) == (off != "ROLE")
    assert ("therapist/family" in page) == (off != "THERAPIST")
    assert ("14 therapists, 60 families, " in page) == (off != "THERAPIST")


def test_files_of_german_excel_give_the_same_page(folder):
    page = page_of(folder)
    for name in ("my sessions.csv", "my families.csv"):
        path = folder / "data" / name
        table = pd.read_csv(path, dtype={"Family ID": str})
        table.to_csv(path, index=False, sep=";", decimal=",", encoding="cp1252")
    script = folder / "analysis.py"
    text = script.read_text(encoding="utf-8")
    written = '_WRITTEN: dict[str, Any] = {"separator": ";", "decimal": ",", "encoding": "cp1252"}'
    assert text.count("_WRITTEN: dict[str, Any] = {}") == 2
    text = text.replace("_WRITTEN: dict[str, Any] = {}", written)
    script.write_text(text, encoding="utf-8")
    assert page_of(folder) == page


def test_every_setting_of_check_has_its_line_in_the_analysis(folder):
    page = page_of(folder)
    path = folder / "data" / "my sessions.csv"
    sessions = pd.read_csv(path, dtype={"Family ID": str})
    member = sessions.groupby("Family ID")["Client"].transform(lambda p: pd.factorize(p)[0] + 1)
    other = sessions.assign(by="other", **{"WAI-S": 4.0})
    pd.concat([sessions.assign(by="self"), other]).assign(**{"Client": member}).to_csv(
        path, index=False
    )
    path = folder / "data" / "my families.csv"
    families = pd.read_csv(path, dtype={"Family ID": str})
    families["How ended"] = families["How ended"].replace("dropout", "abgebrochen")
    families.to_csv(path, index=False)
    script = folder / "analysis.py"
    text = script.read_text(encoding="utf-8")
    for old, new in (
        ("LOCAL_IDS: tuple[str, ...] = ()", 'LOCAL_IDS = ("person",)'),
        ("ENDINGS: dict[str | int, str] = {}", 'ENDINGS = {"abgebrochen": "dropout"}'),
        ("RATER: str | None = None", 'RATER = "by"'),
        ("RATED_BY: str | None = None", 'RATED_BY = "self"'),
    ):
        assert old in text
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    again = page_of(folder)
    curves = 'id="fig-dropout"'
    assert curves in page
    assert "not rated by self" in again
    table = again[again.index('id="tbl-model"') : again.index("Who drops out")]
    assert table == page[page.index('id="tbl-model"') : page.index("Who drops out")]


def test_members_may_leave_one_by_one(folder):
    script = folder / "analysis.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace('UNIT = "family"', 'UNIT = "person"'), encoding="utf-8")
    results = runpy.run_path(str(folder / "analysis.py"))["analyse"]()
    aside = sum(step.rows_set_aside for step in results.dropout.families.steps[1:])
    assert results.dropout.curves.rows.n_in == results.data.persons["Client"].nunique() - aside


def test_families_seen_late_are_at_risk_from_then_on(folder, tables):
    sessions, families = tables
    path = folder / "data" / "my sessions.csv"
    last = sessions.groupby("Family ID")["session-no"].transform("max")
    known = families.dropna(subset=["Arm & site"])["Family ID"]
    late = sessions["Family ID"].isin([name for name in known if name % 3 == 0]) & (last >= 3)
    sessions[~(late & (sessions["session-no"] < 3))].to_csv(path, index=False)
    count = sessions.loc[late, "Family ID"].nunique()
    page = page_of(folder)
    assert count > 5
    assert f"{count} families first seen after the first session of the study count as" in page
    results = runpy.run_path(str(folder / "analysis.py"))["analyse"]()
    assert results.dropout.late == count
    at_risk = results.dropout.curves.tidy().groupby("strata")["n_risk"].first().sum()
    assert at_risk == results.dropout.curves.rows.n_used - count


WIDE = {
    '"sessions.csv"': '"export.csv"',
    "SESSIONS_WRITTEN: dict[str, Any] = {}": (
        'SESSIONS_WRITTEN = {"separator": ";", "decimal": ","}'
    ),
    "WIDE: str | None = None": 'WIDE = "{rater}_{item}_s{session}"',
    "SCALES: dict[str, Scale] = {}": 'SCALES = {"alliance": Scale(name="wai", items=("q1", "q2", '
    '"q3", "q4"), limits=(1, 7), reversed=("q2",))}',
    'PERSON = "person"': 'PERSON = "ID"',
    'ROLE: str | None = "role"': "ROLE = None",
    "RATER: str | None = None": 'RATER = "rater"',
    "RATED_BY: str | None = None": 'RATED_BY = "client"',
    '"alliance", (1, 7), "Alliance,': '"wai", (1, 7), "WAI,',
    'OUTCOME: str | None = "symptoms"': 'OUTCOME = "phq"',
    'FAMILIES: Path | None = HERE / "data" / "families.csv"': "FAMILIES = None",
    'FAMILY: str | None = "family"': "FAMILY = None",
    'THERAPIST: str | None = "therapist"': "THERAPIST = None",
    'ENDING: str | None = "ending"': "ENDING = None",
    'UNIT = "family"': 'UNIT = "person"',
    'GROUP: str | None = "parent_alliance"': "GROUP = None",
}


def test_a_wide_export_of_items_of_two_raters_gives_a_page(tmp_path):
    CliRunner().invoke(app, ["new", str(tmp_path)])
    draw = np.random.default_rng(4)
    raters, items, sessions = ("client", "therapist"), ("q1", "q2", "q3", "q4"), range(1, 5)
    lines = [["ID", *(f"{r}_{q}_s{s}" for s in sessions for r in raters for q in items),
              *(f"client_phq_s{s}" for s in sessions)]]  # fmt: skip
    for who in range(30):
        level = draw.normal(4.5, 0.8) + draw.normal(0, 0.5, 4)
        cells = [f"P {who}"]
        for _ in range(8):
            answers = np.clip(np.round(level + draw.normal(0, 0.6) + draw.normal(0, 0.8, 4)), 1, 7)
            answers[1] = 8 - answers[1]
            cells += [f"{answer:.0f}" for answer in answers]
        lines.append([*cells, *(f"{x:.1f}".replace(".", ",") for x in draw.normal(12, 4, 4))])
    text = "\n".join(map(";".join, lines))
    (tmp_path / "data" / "export.csv").write_text(text, encoding="utf-8")
    script = tmp_path / "analysis.py"
    text = script.read_text(encoding="utf-8")
    for old, new in WIDE.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    script.write_text(text, encoding="utf-8")
    results = runpy.run_path(str(script))["analyse"]()
    study = score_study(
        Study.from_file(
            tmp_path / "data" / "export.csv", wide="{rater}_{item}_s{session}", person="ID",
            outcome="phq", separator=";", decimal=",",
        ),
        WAI,
        role="alliance",
    )  # fmt: skip
    own = study.sessions.query("rater == 'client'")
    pd.testing.assert_frame_equal(results.data.sessions, own)
    found = reliability(own, items=WAI, person="ID", session="session")
    pd.testing.assert_frame_equal(results.scales["wai"].tidy(), found.tidy())
    page = page_of(tmp_path)
    assert "omega within: estimate" in page
    assert "How treatments ended is not known" in page
    assert "nothing is compared" in page


def test_an_error_is_said_without_a_traceback(folder):
    script = folder / "analysis.py"
    text = script.read_text(encoding="utf-8")
    script.write_text(text.replace('"Arm & site"', '"Arm and site"'), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The table of families has no column 'Arm and site'.")
    assert "Did you mean 'Arm & site'?" in done.stderr
    assert not (folder / "page.html").exists()
