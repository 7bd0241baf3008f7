"""The command line: what it prints, where to, and its exit codes."""

import os
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from typer.testing import CliRunner

from alliance_stats.cli import app
from alliance_stats.cli.terminal import in_options
from alliance_stats.errors import DataError
from alliance_stats.evidence import reproduce
from alliance_stats.study import Study

SESSIONS = """\
family,person,role,session,alliance,symptoms
F1,F1-m,mother,1,4.0,60
F1,F1-m,mother,2,4.5,
F1,F1-f,father,1,3.5,50
F2,F2-m,mother,1,,55
"""
FAMILIES = """\
family,therapist,ending,group
F1,T1,planned,usual
F2,T1,dropout,usual
F3,T2,dropout,usual
"""
ROLES = [
    *("--person", "person", "--family", "family", "--session", "session"),
    *("--role", "role", "--alliance", "alliance", "--outcome", "symptoms"),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sessions.csv").write_text(SESSIONS, encoding="utf-8")
    (tmp_path / "families.csv").write_text(FAMILIES, encoding="utf-8")
    return tmp_path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def check(path, *options):
    return run("check", path, *(options or ROLES))


def lines_of(result) -> list[str]:
    """Return the printed lines with single spaces: a row of a table is a line."""
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def refused(result) -> str:
    assert result.exit_code == 1
    assert "can be used" not in result.stdout
    assert result.stderr.startswith("Error: ")
    return result.stderr


def test_check_prints_the_ledger_and_the_whole_description(folder):
    result = check(folder / "sessions.csv")
    assert result.exit_code == 0
    assert "4 rows came in (person: 3, family: 2). 4 used (person: 3, family: 2)." in result.stdout
    study = Study.from_file(
        folder / "sessions.csv",
        **{name[2:]: column for name, column in zip(ROLES[::2], ROLES[1::2], strict=True)},
    )
    assert study.describe().summary() in result.stdout
    assert "alliance 1 4 25.0%" in lines_of(result)
    assert result.stderr == ""


def test_check_guesses_no_role_and_proposes_what_to_ask(folder):
    result = check(folder / "sessions.csv", "--family", "family")
    message = refused(result)
    assert "name it with --person" in message
    assert "'family', 'person', 'role', 'session', 'alliance', 'symptoms'" in message
    proposal = result.stdout.splitlines()[-1]
    assert proposal.endswith(
        "--person person --family family --session session --role role --alliance alliance"
    )


def test_the_proposal_leaves_open_which_column_holds_the_person(tmp_path):
    path = tmp_path / "my sessions.csv"
    path.write_text("client,session,wai\nA,1,4\n", encoding="utf-8")
    result = check(path, "--session", "session")
    assert refused(result)
    assert f"check '{path}' --person COLUMN --session session" in result.stdout


def test_check_names_what_an_analysis_would_trip_over(folder):
    path = folder / "sessions.csv"
    path.write_text("person,alliance,site,notes\nA,4,Bern,\nB,5,Bern,\n", encoding="utf-8")
    result = check(path, "--person", "person", "--alliance", "alliance")
    assert "2 columns without a role, not checked: 'site', 'notes'." in result.stdout
    assert "Column 'site' has one value only (Bern): nothing can vary with it." in result.stdout
    assert "Column 'notes' is empty." in result.stdout


def test_check_prints_warnings_and_does_not_fail(folder):
    rows = [f"F1,{s},{4 if s < 3 else ''},dropout" for s in range(1, 6)]
    path = folder / "padded.csv"
    path.write_text("person,session,alliance,ending\n" + "\n".join(rows), encoding="utf-8")
    options = ["--session", "session", "--alliance", "alliance", "--ending", "ending"]
    result = check(path, "--person", "person", *options)
    assert result.exit_code == 0
    assert "Warning: " in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--person", "persn"], "'sessions.csv' has no column 'persn'. Did you mean 'person'?"),
        ([*ROLES, "--alliance-range", "1", "4"], "'alliance' is outside"),
        (["--person", "person", "--family", "person"], "both --person and --family"),
        (["--person", "person"], "--session"),
        (["--person", "person", "--families", "families.csv"], "--families needs --family"),
    ],
)
def test_check_refuses_in_the_words_of_the_command_line(folder, options, message):
    assert message in refused(check(folder / "sessions.csv", *options))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: it has no header row"),
        ("person,session\n", "has no rows"),
        ("person;session\nA;1\n", "separates its columns by ';'"),
        ("person,session\nF 1,1\nF  1,2\n", "spells what looks like one unit in 2 ways"),
        ("person,session\nA,1\n,2\n", "missing in row 3"),
    ],
)
def test_check_refuses_files_that_are_no_table(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text, encoding="utf-8")
    assert message in refused(check(path, "--person", "person", "--session", "session"))


def german(folder):
    """Write the two files as German Excel does."""
    for name, text in (("sessions.csv", SESSIONS), ("families.csv", FAMILIES)):
        written = text.replace(",", ";").replace(".", ",").replace("T1", "Müller")
        (folder / name).write_bytes(written.encode("cp1252"))
    return [*ROLES, "--therapist", "therapist", "--families", folder / "families.csv"]


def test_check_reads_both_files_as_they_are_said_to_be_written(folder):
    options = german(folder)
    marks = ["--separator", ";", "--decimal", ",", "--encoding", "cp1252"]
    result = check(folder / "sessions.csv", *options, *marks)
    assert result.exit_code == 0
    assert "alliance 3 4.00 0.50 3.50 4.00 4.50" in lines_of(result)
    message = refused(check(folder / "sessions.csv", *options))
    assert "Pass --separator ';', --decimal ',' if commas" in message
    message = refused(check(folder / "sessions.csv", *options, *marks[:4]))
    assert "'families.csv' is not UTF-8 text" in message
    assert "writes --families-encoding 'cp1252' as 'CSV'" in message


def test_check_takes_a_tab_as_it_is_typed(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("person\tsession\nA\t1\n", encoding="utf-8")
    options = ["--person", "person", "--session", "session", "--separator", r"\t"]
    assert check(path, *options).exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--separator", ";;"], "separator must be one mark"),
        (["--decimal", ";"], "decimal must be one of"),
        (["--encoding", "klingon"], "--encoding 'klingon' is unknown"),
    ],
)
def test_marks_that_are_none_are_refused(folder, options, message):
    assert message in refused(check(folder / "sessions.csv", *ROLES, *options))


def test_notes_on_the_table_of_families_are_printed(folder):
    path = folder / "families.csv"
    path.write_text(FAMILIES.replace("planned,usual", "planned,NA"), encoding="utf-8")
    result = check(folder / "sessions.csv", *ROLES, "--families", path)
    assert result.exit_code == 0
    assert "Note: " in result.stdout


def test_check_says_which_file_is_not_there(folder):
    message = refused(check(folder / "sesions.csv"))
    assert "There is no file" in message
    assert "Did you mean 'sessions.csv'?" in message


def test_check_joins_the_table_of_families_and_counts_those_without_sessions(folder):
    options = [*ROLES, "--therapist", "therapist", "--ending", "ending"]
    result = check(folder / "sessions.csv", *options, "--families", folder / "families.csv")
    assert result.exit_code == 0
    assert "Families' table: 3 rows came in (family: 3). 1 set aside: family without a session" in (
        result.stdout
    )
    assert "dropout 1 2 50.0%" in lines_of(result)


def test_messages_of_the_package_read_as_options():
    message = "name one with sheet=; declare local_ids=('person',). ending_session= needs session=."
    assert in_options(message) == (
        "name one with --sheet; declare --local-ids person. --ending-session needs --session."
    )
    assert in_options("Pass separator=';'.") == "Pass --separator ';'."
    assert in_options("pandas.read_csv(x, sep=';')") == "pandas.read_csv(x, sep=';')"


def test_reproduce_prints_each_verdict_and_the_summary():
    found = reproduce("welmers2018")
    result = run("reproduce", "welmers2018")
    assert result.exit_code == 0
    assert found.summary() in result.stdout
    counts = found.glance().iloc[0]
    table = result.stdout.split("Summary")[0]
    assert len(re.findall(r"^welmers2018/", table, re.MULTILINE)) == counts["n_printed"]
    assert len(re.findall(r"\breproduced", table)) == counts["n_reproduced"]


def test_strict_fails_only_where_a_number_is_not_reproduced():
    verdicts = reproduce().tidy()
    bad = verdicts.loc[verdicts["verdict"] == "not reproduced", "record"].iloc[0]
    assert run("reproduce", "welmers2018", "--strict").exit_code == 0
    assert run("reproduce", bad).exit_code == 0
    strict = run("reproduce", bad, "--strict")
    assert strict.exit_code == 1
    assert f"{bad}, " in strict.stdout


def test_reproduce_refuses_a_name_it_does_not_know():
    assert "Did you mean 'welmers2018'?" in refused(run("reproduce", "welmers2081"))


def test_the_help_loads_no_room_beyond_the_package_itself():
    code = (
        "import sys\n"
        "import alliance_stats\n"
        "before = set(sys.modules)\n"
        "from typer.testing import CliRunner\n"
        "from alliance_stats.cli import app\n"
        "assert CliRunner().invoke(app, ['check', '--help']).exit_code == 0\n"
        "print(*sorted(m for m in set(sys.modules) - before if m.startswith('alliance_stats')))\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [
        "alliance_stats.cli",
        "alliance_stats.cli.app",
        "alliance_stats.cli.check_settings",
    ]


def test_check_reads_excel(folder):
    path = folder / "s.xlsx"
    with pd.ExcelWriter(path) as book:
        for sheet in ("one", "two"):
            pd.DataFrame({"person": ["A", "B"], "x": np.arange(2)}).to_excel(
                book, sheet_name=sheet, index=False
            )
    assert "name one with --sheet" in refused(check(path, "--person", "person"))
    assert check(path, "--person", "person", "--sheet", "two").exit_code == 0


def test_an_error_of_the_program_itself_is_not_swallowed(monkeypatch, folder):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(Study, "describe", broken)
    result = check(folder / "sessions.csv")
    assert isinstance(result.exception, ZeroDivisionError)


def test_data_errors_are_the_ones_turned_into_exit_codes(monkeypatch, folder):
    def refuse(*_, **__):
        raise DataError("nothing will do")

    monkeypatch.setattr(Study, "from_frame", refuse)
    assert "nothing will do" in refused(check(folder / "sessions.csv"))


# ---- two files, each as it is written ------------------------------------------------------------

IDS = ["--person", "person", "--family", "family", "--session", "session", "--alliance", "alliance"]
SHORT = {
    "sessions": pd.DataFrame(
        {"person": [1, 1, 2], "family": [1, 1, 2], "session": [1, 2, 1], "alliance": [4.5, 5, 3]}
    ),
    "families": pd.DataFrame({"family": [1, 2], "ending": ["dropout", "planned"]}),
}


@pytest.fixture
def both(tmp_path):
    for name, frame in SHORT.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        frame.to_csv(tmp_path / f"{name}_german.csv", index=False, sep=";", decimal=",")
        pyreadstat.write_sav(frame, str(tmp_path / f"{name}.sav"))
    with pd.ExcelWriter(tmp_path / "both.xlsx") as book:
        for name, frame in SHORT.items():
            frame.to_excel(book, sheet_name=name, index=False)
    return tmp_path


GERMAN = ["--separator", ";", "--decimal", ","]


@pytest.mark.parametrize(
    ("sessions", "families", "options"),
    [
        ("both.xlsx", "both.xlsx", ["--sheet", "sessions", "--families-sheet", "families"]),
        ("sessions_german.csv", "families_german.csv", GERMAN),
        ("sessions_german.csv", "families.csv", [*GERMAN, "--families-separator", ","]),
        ("sessions_german.csv", "families.sav", GERMAN),
        ("sessions_german.csv", "both.xlsx", [*GERMAN, "--sheet", "families"]),
        ("sessions_german.csv", "both.xlsx", [*GERMAN, "--families-sheet", "families"]),
        ("both.xlsx", "families_german.csv", ["--sheet", "sessions", "--separator", ";"]),
        ("sessions.sav", "families_german.csv", ["--families-separator", ";"]),
    ],
)
def test_each_file_is_read_as_it_is_written(both, sessions, families, options):
    more = ["--families", both / families, "--ending", "ending", *options]
    result = check(both / sessions, *IDS, *more)
    assert result.exit_code == 0, result.stderr
    assert "3 used (person: 2, family: 2)." in result.stdout
    assert "Families' table: 2 rows came in (family: 2). 2 used" in result.stdout


def test_the_advice_on_one_file_can_be_followed(both):
    said = refused(check(both / "both.xlsx", *IDS, "--families", both / "both.xlsx"))
    assert "name one with --sheet" in said
    options = [*IDS, "--sheet", "sessions", "--families", both / "both.xlsx"]
    assert "name one with --families-sheet" in refused(check(both / "both.xlsx", *options))
    options = [*IDS, *GERMAN, "--families", both / "families.csv"]
    assert "Pass --families-separator ','" in refused(check(both / "sessions_german.csv", *options))


def test_endings_in_other_words_are_recoded_as_stated(both):
    path = both / "families.csv"
    path.write_text("family,ending\n1,abgebrochen\n2,planned\n", encoding="utf-8")
    options = [*IDS, "--families", path, "--ending", "ending"]
    said = refused(check(both / "sessions.csv", *options))
    assert "In the table of families: Column 'ending' holds the unknown ending" in said
    assert "'abgebrochen' in row 2." in said
    assert '--ending-word "abgebrochen=dropout"' in said
    result = check(both / "sessions.csv", *options, "--ending-word", "abgebrochen=dropout")
    assert "recoded as stated: 'abgebrochen' to 'dropout' (2 rows)." in result.stdout
    assert "dropout 1 2 50.0%" in lines_of(result)
    for wrong in ("abgebrochen", "=dropout", "abgebrochen=gone"):
        said = refused(check(both / "sessions.csv", *options, "--ending-word", wrong))
        assert "is no WORD=ENDING" in said


def test_signs_are_printed_as_they_are_and_controls_as_their_codes(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("person,a:m:,\x1b[31m\nA,1,2\nB,1,2\n", encoding="utf-8")
    result = check(path, "--person", "person")
    assert "'a:m:', '\\x1b[31m'" in result.stdout
    assert "\x1b" not in result.stdout


def test_what_the_stream_cannot_write_is_replaced():
    done = subprocess.run(
        [sys.executable, "-m", "alliance_stats.cli", "reproduce", "--folder", "data/published"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"?" in done.stdout
    assert b"reproduced" in done.stdout


def test_a_wide_export_is_recognised_and_read_as_said(tmp_path):
    path = tmp_path / "export.csv"
    rows = ["id;" + ";".join(f"{score}_s{n}" for score in ("wai", "phq") for n in range(1, 5))]
    rows += ["a;4,5;5;;;9;8;;", "b;3;3;4;;7;;6;"]
    path.write_text("\n".join(rows), encoding="utf-8")
    options = ["--person", "id", "--separator", ";", "--decimal", ","]
    said = refused(check(path, *options))
    assert "a row per 'id' and columns that repeat, as '{score}_s{session}' says" in said
    more = ["--wide", "{score}_s{session}", "--alliance", "wai", "--score", "phq"]
    result = check(path, *options, *more)
    assert result.exit_code == 0, result.stderr
    assert "5 rows came in (person: 2)." in result.stdout
    assert "3 after the last that has one" in result.stdout
    assert "phq 4 7.50 1.29 6.00 7.50 9.00" in lines_of(result)
    assert "--session and --wide exclude" in refused(check(path, *options, *more, "--session", "x"))
    coded = check(path, *options, *more, "--missing", "3", "--missing", "-9")
    assert "Read as missing, as missing= says: 2 values in 'wai_s1', 'wai_s2'." in coded.stdout


REDCAP = """record_id,redcap_repeat_instrument,redcap_repeat_instance,gender,wai_c,wai_t
1,,,2,,
1,client,1,,4,
1,therapist,1,,,5
2,,,1,,
2,client,1,,3,
2,client,2,,5,
"""


def test_forms_that_redcap_repeats_are_recognised_and_read_as_said(tmp_path):
    path = tmp_path / "redcap.csv"
    path.write_text(REDCAP, encoding="utf-8")
    options = ["--person", "record_id", "--session", "redcap_repeat_instance"]
    options += ["--alliance", "wai_c", "--score", "wai_t"]
    said = refused(check(path, *options))
    assert "--repeated redcap_repeat_instrument=client or --repeated redcap_repeat" in said
    forms = [f"--repeated=redcap_repeat_instrument={form}" for form in ("client", "therapist")]
    result = check(path, *options, *forms)
    assert result.exit_code == 0, result.stderr
    assert "3 rows came in (person: 2)." in result.stdout
    assert "Put beside each person's sessions: 'gender'" in result.stdout
    one = check(path, *options, forms[0])
    assert "Not used: rows of 'therapist', which were not named as sessions (row 4)." in one.stdout
    assert "Column 'wai_t' is empty." in one.stdout
    said = refused(check(path, *options, "--repeated", "client"))
    assert "--repeated client is no COLUMN=VALUE" in said
    said = refused(check(path, *options[:2], *forms, "--wide", "{score}_{session}"))
    assert "--repeated and --wide exclude each other" in said


ITEMS = """\
person,session,i1,i2,i3,i4
a,1,5,4,2,5
b,1,6,6,1,6
c,1,3,3,5,4
d,1,2,3,6,2
e,1,7,6,1,7
f,1,4,,,4
g,1,5,5,3,
h,1,,,,2
"""
SCALE = [
    *("--person", "person", "--session", "session", "--scale", "wai=i1,i2,i3,i4"),
    *("--reverse", "i3", "--item-range", "1", "7", "--alliance", "wai"),
]


def test_a_scale_is_scored_and_its_reliability_and_gaps_are_said(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(ITEMS, encoding="utf-8")
    told = check(path, *SCALE)
    assert told.exit_code == 0, told.output
    lines = lines_of(told)
    frame = pd.read_csv(path).dropna()
    items = frame.assign(i3=8 - frame["i3"])[["i1", "i2", "i3", "i4"]]
    spread, whole = items.var().sum(), items.sum(axis=1).var()
    alpha = 4 / 3 * (1 - spread / whole)
    assert any(line.startswith(f"alpha {alpha:.3f}".replace("0.", ".")) for line in lines)
    assert any(line.startswith("omega") for line in lines)
    assert "Missing answers of 8 rows: i1: 1, i2: 2, i3: 2, i4: 1." in lines
    assert "3 rows without a score: fewer than 80% of the items were answered." in lines
    assert not any("without a role" in line and "i1" in line for line in lines)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--scale", "wai=i1,i2"], "--scale needs --item-range"),
        (["--item-range", "1", "7"], "--item-range is of no use without --scale"),
        (["--outcome-range", "1", "7"], "--outcome-range is of no use without --outcome"),
        (["--ending-word", "x=dropout"], "--ending-word is of no use without --ending"),
        (["--families-sheet", "a"], "--families-sheet is of no use without --families"),
        (["--scale", "wai=i1,,i2", "--item-range", "1", "7"], "no NAME=ITEM,ITEM"),
        (["--scale", "wai=i1,i9", "--item-range", "1", "7"], "no column 'i9'"),
        (["--scale", "wai=i1,i2", "--item-range", "1", "5"], "outside 1 to 5 in rows"),
        (["--reverse", "i3"], "--reverse i3 is no item"),
    ],
)
def test_a_scale_that_is_none_is_refused(tmp_path, options, says):
    path = tmp_path / "items.csv"
    path.write_text(ITEMS, encoding="utf-8")
    told = check(path, "--person", "person", "--session", "session", *options)
    assert says in " ".join(refused(told).split())
