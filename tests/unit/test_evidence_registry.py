"""The registry: what enters, what is refused, what is recomputed from it."""

from pathlib import Path

import pytest

from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.published_records import load_registry, registry_folder
from alliance_stats.evidence.printed.reproduction import published, reproduce

SOURCE = """
[[source]]
key = "author2024"
citation = "Author 2024"
doi = "10.1234/abcd"
edition = "first"
where = "Table 1"
design = "trial"
"""
RECORD = """
[[source.record]]
name = "one"
sample = "30 families"
printed = { r = ".30", n = "103", p_value = ".002" }
"""


def folder_with(path: Path, text: str, **tables: str) -> Path:
    (path / "x.toml").write_text(text, encoding="utf-8")
    for name, content in tables.items():
        (path / f"{name}.csv").write_text(content, encoding="utf-8")
    return path


def test_a_record_is_added_without_touching_code(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, SOURCE + RECORD)
    listed = published(folder=folder)
    assert listed.loc[0, "record"] == "author2024/one"
    assert listed.loc[0, "printed"] == "r = .30, n = 103, p_value = .002"
    found = reproduce(folder=folder)
    assert found.glance().to_dict("records") == [
        {"n_records": 1, "n_printed": 3, "n_reproduced": 1, "n_holds_only_if": 0,
         "n_not_reproduced": 0, "n_not_checkable": 2}
    ]  # fmt: skip
    assert found.all_follow
    assert found.summary().split("\n\n") == [
        "Printed numbers recomputed from those printed beside them.",
        "Verdict         numbers\n"
        "reproduced            1\n"
        "not reproduced        0\n"
        "not checkable         2",
        "1 record, 3 numbers.",
        "1 row came in. 1 used.",
    ]


def test_a_table_holds_many_records_and_shares_the_fields_of_its_source(tmp_path: Path) -> None:
    text = SOURCE + 'sample = "pairs"\ntails = "one"\ntable = "y.csv"\n'
    folder = folder_with(tmp_path, text, y="record,r,n,stars\na,.315,50,*\nb,-.168,15,none\n")
    records = load_registry(folder)
    assert [record.key for record in records] == ["author2024/a", "author2024/b"]
    assert records[0].row.setting.tails == "one"
    stars = reproduce(folder=folder).tidy().query("quantity == 'stars'")
    assert list(stars["verdict"]) == ["reproduced", "reproduced"]


def test_what_does_not_follow_is_told_with_relation_and_source(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, SOURCE + RECORD.replace(".002", ".02"))
    found = reproduce(folder=folder)
    assert not found.all_follow
    assert "author2024/one, p_value .02: not reproduced under p_r." in found.summary()
    assert found.account().remarks[-1].endswith("(Author 2024; Table 1)")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("doi = ", "#"), r"x.toml, source 'author2024', field 'doi': missing"),
        (("citation = ", "#"), r"x.toml, source 'author2024', field 'citation': missing"),
        (('"10.1234/abcd"', '"abcd"'), r"field 'doi': 'abcd' is not a DOI; write it as '10.1037"),
        (("edition =", "editon ="), r"field 'editon': unknown field. Did you mean 'edition'\?"),
        (("[[source]]", "[[sources]]"), r"x.toml, field 'sources': unknown field"),
        (('".30"', "0.30"), r"record 'author2024/one', field 'r': must be the printed text"),
        (('".30"', '"about .3"'), r"x.toml, record 'author2024/one', field 'r': 'about .3' is"),
        (("r = ", "rr = "), r"field 'rr': there is no quantity of this name. Did you mean 'r'\?"),
        (('name = "one"', ""), r"record 'author2024/\?', field 'name': missing"),
        (("sample = ", "#"), r"record 'author2024/one', field 'sample': missing"),
        (("sample = ", "verdict = "), r"field 'verdict': unknown field"),
        (("printed = {", "printed = 1 #"), r"field 'printed': must be a table of printed numbers"),
        (("sample =", 'relation = ["p_rr"]\nsample ='), r"field 'relation': there is no relation"),
        (("sample =", 'tails = "3"\nsample ='), r"field 'tails': must be 'one' or 'two'; got '3'"),
        (("sample =", 'effect = "d"\nsample ='), r"field 'effect': 'd' is not among the"),
        (("sample =", 'assumed = { df = "3" }\nsample ='), r"field 'because': numbers are assumed"),
        (("[[source.record]]", "[[source.record"), r"x.toml is not a readable TOML file"),
        ((RECORD, ""), r"field 'record': the source has neither a record nor a table"),
        ((RECORD, RECORD + RECORD), r"record 'author2024/one', field 'name': the same record"),
        ((RECORD, 'table = "z.csv"'), r"field 'table': there is no file 'z.csv' beside it"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_file_record_and_field(tmp_path, change, message) -> None:
    old, new = change
    text = SOURCE + RECORD
    assert old in text
    with pytest.raises(DataError, match=message):
        load_registry(folder_with(tmp_path, text.replace(old, new)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("record,rr\na,.3\n", r"y.csv, field 'rr': unknown column. Did you mean 'r'\?"),
        ("record,r\na,.3,4\n", r"y.csv, record 'a': the row has another number of cells"),
        ("record,r,n\na,.3\n", r"y.csv, record 'a': the row has another number of cells"),
        (
            "record,r\na,x\n",
            r"x.toml, record 'author2024/a', field 'r': 'x' is not a printed number",
        ),
        ("r\n.3\n", r"x.toml, record 'author2024/\?', field 'name': missing"),
    ],
)
def test_a_mistake_in_a_table_is_refused(tmp_path: Path, table: str, message: str) -> None:
    text = SOURCE + 'sample = "pairs"\ntable = "y.csv"\n'
    with pytest.raises(DataError, match=message):
        load_registry(folder_with(tmp_path, text, y=table))


@pytest.mark.parametrize("name", ["/etc/passwd", "../y.csv", "sub/y.csv", "..", "a\\\\b.csv"])
def test_a_table_must_lie_beside_the_registry_file(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "y.csv").write_text("record,r\na,.3\n", encoding="utf-8")
    text = SOURCE + f'sample = "pairs"\ntable = "{name}"\n'
    with pytest.raises(DataError, match="must be the name of a file beside x.toml"):
        load_registry(folder_with(tmp_path / "in", text))


def test_a_link_out_of_the_folder_is_no_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "y.csv").write_text("record,r\na,.3\n", encoding="utf-8")
    (tmp_path / "in" / "y.csv").symlink_to(tmp_path / "y.csv")
    text = SOURCE + 'sample = "pairs"\ntable = "y.csv"\n'
    with pytest.raises(DataError, match="must be the name of a file beside x.toml"):
        load_registry(folder_with(tmp_path / "in", text))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_a_byte_order_mark_is_read_and_another_encoding_refused(tmp_path, encoding) -> None:
    folder = folder_with(tmp_path, SOURCE + 'sample = "pairs"\ntable = "y.csv"\n')
    (folder / "y.csv").write_bytes("record,r\nJ\u00f6rg,.3\n".encode(encoding))
    if encoding.startswith("utf-8"):
        assert [record.key for record in load_registry(folder)] == ["author2024/J\u00f6rg"]
    else:
        with pytest.raises(DataError, match=r"y.csv is not readable as UTF-8 text .*'CSV UTF-8'"):
            load_registry(folder)


def test_an_impossible_value_is_a_verdict_not_a_refusal(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, SOURCE + RECORD.replace('".30"', '"1.30"'))
    found = reproduce(folder=folder).tidy().set_index("quantity")
    assert found.loc["r", "verdict"] == "not reproduced"
    assert found.loc["p_value", "verdict"] == "not checkable"


def test_an_empty_folder_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \*.toml file with published records"):
        load_registry(tmp_path)
    with pytest.raises(
        DataError, match=r"no record, source or file 'welmers2081'\. Did you mean 'welmers2018'"
    ):
        reproduce("welmers2081")


# The registry that ships


def test_all_ten_tables_are_in_the_registry() -> None:
    records = load_registry()
    files = {record.source.file for record in records}
    assert len(files) == 10
    assert len(records) == 113
    assert all(record.source.citation and record.source.where for record in records)


def test_no_verdict_is_stored() -> None:
    for file in registry_folder().glob("*.toml"):
        assert "reproduced" not in file.read_text(encoding="utf-8")


def test_families_level_split_and_change_follow_from_their_standard_errors() -> None:
    found = reproduce("welmers2018").tidy().set_index(["record", "quantity"])
    for record in ("level", "split", "change"):
        for quantity in ("conf_low", "conf_high", "p_value", "r"):
            assert found.loc[(f"welmers2018/{record}", quantity), "verdict"] == "reproduced"


def test_every_exponentiated_coefficient_of_the_hazard_table_follows() -> None:
    found = reproduce("alliance_dropout_hazard_2014").tidy()
    assert set(found.query("quantity == 'exp_b'")["verdict"]) == {"reproduced"}


def test_the_numbers_that_do_not_follow_are_these() -> None:
    found = reproduce().tidy()
    wrong = found[found["verdict"] == "not reproduced"]
    assert set(wrong["record"]) == {
        "igra2020/difference",  # estimate outside its interval
        "ormhaug2014/usual",  # estimate not in the middle of its interval
        "welmers-ch4-correlations/T2-mother-client-with-father-client",  # p just above .01
        "welmers-ch4-comparisons/T2-mother-and-father",
    }


def test_the_df_of_the_pre_post_tests_agree_on_28_to_30_cases() -> None:
    found = reproduce("welmers-ch5-cbcl").tidy().query("quantity == 'p_value'")
    assert list(found["reason"]) == [
        "df not printed; t and p agree for df 27 to 29",
        "df not printed; t and p agree for df 8 or more",
        "df not printed; t and p agree for df 14 or more",
    ]


def test_every_printed_number_of_every_record_has_one_row() -> None:
    records, found = load_registry(), reproduce().tidy()
    expected = sum(len(record.row.texts) - len(record.assumed) for record in records)
    assert len(found) == expected
    assert not found.duplicated(["record", "quantity"]).any()
