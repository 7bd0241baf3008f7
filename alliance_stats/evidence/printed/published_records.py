"""The registry of published comparisons: plain files, validated on load.

Every ``*.toml`` file of the folder holds sources (papers, tables) and their records (comparisons).
A record holds printed numbers as text; :func:`reproduce` finds what follows from what, so there is
no field for a verdict. A source with many similar records can keep them in a CSV file that it names
as its ``table``: one row per record, columns named as the fields.
"""

import csv
import io
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alliance_stats.checks import did_you_mean
from alliance_stats.errors import DataError
from alliance_stats.evidence.printed.catalogue import QUANTITIES, SETTINGS
from alliance_stats.evidence.printed.numerals import admissible_legends
from alliance_stats.evidence.printed.printed_row import PrintedRow, Rules, readings

__all__ = ["PublishedRecord", "Source", "load_registry", "registry_folder"]

NOT_PRINTED = "not printed"
_DOI = re.compile(r"^10\.\d{4,9}/\S+$")

_CITED = ("key", "citation", "doi", "edition", "where", "design")
# fields that a source may state once for all its records
_SHARED = ("sample", "effect", "assumed", "because", "note", *SETTINGS)
_SOURCE_FIELDS = (*_CITED, *_SHARED, "table", "record")
_RECORD_FIELDS = ("name", "about", "printed", *_SHARED)
_COLUMNS = ("record", "about", "sample", "effect", "note", *SETTINGS, *QUANTITIES)


@dataclass(frozen=True, slots=True)
class Source:
    """The source of printed numbers.

    Attributes
    ----------
    key
        Short name, unique in the registry.
    citation, doi
        The paper; `doi` is ``"not printed"`` where the source page gave none.
    edition, where
        Which printing, and the page or table in it.
    design
        Type of study.
    file
        The registry file.
    """

    key: str
    citation: str
    doi: str
    edition: str
    where: str
    design: str
    file: str


@dataclass(frozen=True, slots=True)
class PublishedRecord:
    """One published comparison.

    Attributes
    ----------
    source
        Where it was published.
    name
        Unique within its source.
    about, sample
        What is compared, and in whom.
    effect
        The quantity that is its effect size, or empty.
    texts
        Quantity -> text as printed, and the fields of `SETTINGS`.
    assumed
        Quantities that were not printed and are assumed, for the reason in `because`.
    because, note
        Text.
    row
        The printed numbers in their usual reading.
    rules
        How the source is read.
    """

    source: Source
    name: str
    about: str
    sample: str
    effect: str
    texts: Mapping[str, str]
    assumed: tuple[str, ...]
    because: str
    note: str
    row: PrintedRow
    rules: Rules

    def readings(self) -> Iterator[PrintedRow]:
        """Yield every way to read the record, the usual one first."""
        return readings(self.texts, where=_where(self.source, self.name), rules=self.rules)

    @property
    def key(self) -> str:
        """``source/record``, unique in the registry."""
        return f"{self.source.key}/{self.name}"

    @property
    def names(self) -> tuple[str, str, str]:
        """The names it can be requested by: its key, its source, its file."""
        return self.key, self.source.key, Path(self.source.file).stem

    def printed_as(self) -> str:
        """Return the printed numbers in one line, as ``"r = .278, conf_low = .256"``."""
        return ", ".join(
            f"{name} {text}" if text[:1] in "<>" else f"{name} = {text}"
            for name, text in self.texts.items()
            if name in QUANTITIES and name not in self.assumed
        )


def registry_folder() -> Path:
    """Return the folder of records: in the installed package, or next to it in a checkout."""
    package = Path(__file__).parents[2]
    for folder in (package / "data" / "published", package.parent / "data" / "published"):
        if any(folder.glob("*.toml")):
            return folder
    raise DataError(
        "The published records are not installed with the package. Install alliance-stats again, "
        "or give the folder of your own records."
    )


def load_registry(folder: str | Path | None = None) -> tuple[PublishedRecord, ...]:
    """Read and validate every record of a folder (by default the package's own).

    Raises
    ------
    DataError
        If a file cannot be read, a field is missing, unknown or not text, a number is not one, a
        relation or effect does not exist, or a name is used twice. The message says file, record
        and field.
    """
    where = registry_folder() if folder is None else Path(folder)
    files = sorted(where.glob("*.toml"))
    if not files:
        raise DataError(f"The folder '{where}' holds no *.toml file with published records.")
    records = tuple(record for file in files for record in _read_file(file))
    seen: dict[str, str] = {}
    for record in records:
        if record.key in seen:
            raise DataError(
                f"{record.source.file}, record '{record.key}', field 'name': the same record "
                f"stands in {seen[record.key]} too. Give it another name."
            )
        seen[record.key] = record.source.file
    return records


def _text_of(file: Path) -> str:
    """Return a file's text; without the byte-order mark that spreadsheets write."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file.name} is not readable as UTF-8 text (byte {error.start}). Save it as UTF-8, "
            "which spreadsheets call 'CSV UTF-8'."
        ) from None
    except OSError as error:
        raise DataError(f"{file.name} cannot be read: {error.strerror}.") from None


def _read_file(file: Path) -> Iterator[PublishedRecord]:
    try:
        content = tomllib.loads(_text_of(file))
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{file.name} is not a readable TOML file: {error}") from None
    _only_known(content, ("defaults", "source"), file.name)
    if not content.get("source"):
        raise DataError(f"{file.name}, field 'source': the file names no [[source]].")
    for entry in content["source"]:
        yield from _read_source({**content.get("defaults", {}), **entry}, file)


def _read_source(entry: Mapping[str, Any], file: Path) -> Iterator[PublishedRecord]:
    where = f"{file.name}, source '{entry.get('key', '?')}'"
    _only_known(entry, _SOURCE_FIELDS, where)
    source = Source(**{name: _text(entry, name, where) for name in _CITED}, file=file.name)
    if source.doi != NOT_PRINTED and not _DOI.match(source.doi):
        raise DataError(
            f"{where}, field 'doi': {source.doi!r} is not a DOI; write it as '10.1037/pst0000172', "
            f"or '{NOT_PRINTED}' where the page that was read gives none."
        )
    shared = {name: entry[name] for name in _SHARED if name in entry}
    found = [*entry.get("record", ()), *_table_records(entry, file, where)]
    if not found:
        raise DataError(f"{where}, field 'record': the source has neither a record nor a table.")
    entries = [{**shared, **record} for record in found]
    rules = Rules(legends=admissible_legends(_symbols(entries)))
    for record in entries:
        yield _read_record(record, source, rules)


def _symbols(entries: Sequence[Mapping[str, Any]]) -> set[str]:
    tables = [entry["printed"] for entry in entries if isinstance(entry.get("printed"), dict)]
    return {str(table["stars"]) for table in tables if "stars" in table}


def _table_records(
    entry: Mapping[str, Any], file: Path, where: str
) -> Iterator[Mapping[str, object]]:
    if "table" not in entry:
        return
    path = _beside(file, entry["table"], where)
    try:
        reader = csv.DictReader(io.StringIO(_text_of(path), newline=""))
        for name in reader.fieldnames or ():
            if name not in _COLUMNS:
                raise DataError(
                    f"{path.name}, field '{name}': unknown column. {did_you_mean(name, _COLUMNS)}"
                )
        rows = list(reader)
    except csv.Error as error:
        raise DataError(f"{path.name} is not a readable CSV file: {error}.") from None
    for row in rows:
        cells = {name: text for name, text in row.items() if name is not None and text}
        if None in row or None in row.values():
            raise DataError(
                f"{path.name}, record '{cells.get('record', '?')}': the row has another "
                "number of cells than the header. Quote cells that hold a comma."
            )
        printed = {name: cells.pop(name) for name in tuple(cells) if name in QUANTITIES}
        yield {"name": cells.pop("record", ""), "about": "", **cells, "printed": printed}


def _beside(file: Path, table: object, where: str) -> Path:
    """Return the file that a source names, which must be next to the registry file."""
    name = str(table)
    path = file.parent / name
    if Path(name).name != name or "\\" in name or path.resolve().parent != file.parent.resolve():
        raise DataError(
            f"{where}, field 'table': {name!r} must be the name of a file beside {file.name}, "
            "without a folder."
        )
    if not path.is_file():
        raise DataError(f"{where}, field 'table': there is no file '{name}' beside it.")
    return path


def _where(source: Source, name: str) -> str:
    return f"{source.file}, record '{source.key}/{name}'"


def _read_record(entry: Mapping[str, Any], source: Source, rules: Rules) -> PublishedRecord:
    name = entry.get("name") or "?"
    where = _where(source, name)
    _only_known(entry, _RECORD_FIELDS, where)
    for field in ("name", "sample"):
        _text(entry, field, where)
    printed = _printed(entry, "printed", where)
    assumed = _printed({"assumed": {}, **entry}, "assumed", where)
    if assumed and not entry.get("because"):
        raise DataError(
            f"{where}, field 'because': numbers are assumed ({', '.join(assumed)}), but the "
            "reason is not given."
        )
    settings = {field: _setting(entry, field, where) for field in SETTINGS if field in entry}
    texts = {**printed, **assumed, **settings}
    row = next(readings(texts, where=where, rules=rules))
    effect = str(entry.get("effect", ""))
    if effect and effect not in printed:
        raise DataError(
            f"{where}, field 'effect': {effect!r} is not among the printed numbers. "
            f"{did_you_mean(effect, printed or ['none'])}"
        )
    return PublishedRecord(
        source, str(name), str(entry.get("about", "")), str(entry["sample"]), effect, texts,
        tuple(assumed), str(entry.get("because", "")), str(entry.get("note", "")), row, rules,
    )  # fmt: skip


def _only_known(entry: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in entry:
        if name not in known:
            raise DataError(f"{where}, field '{name}': unknown field. {did_you_mean(name, known)}")


def _text(entry: Mapping[str, Any], field: str, where: str) -> str:
    value = entry.get(field)
    if value is None or value == "":
        raise DataError(f"{where}, field '{field}': missing. Every record states its {field}.")
    if not isinstance(value, str):
        raise DataError(f"{where}, field '{field}': must be text in quotes; got {value!r}.")
    return value


def _printed(entry: Mapping[str, Any], field: str, where: str) -> dict[str, str]:
    numbers = entry.get(field)
    if not isinstance(numbers, dict):
        raise DataError(
            f"{where}, field '{field}': must be a table of printed numbers, as "
            'printed = { r = ".278" }; an empty one says that no number was printed.'
        )
    for name, text in numbers.items():
        if name not in QUANTITIES:
            raise DataError(
                f"{where}, field '{name}': there is no quantity of this name. "
                f"{did_you_mean(name, QUANTITIES)}"
            )
        if not isinstance(text, str):
            raise DataError(
                f"{where}, field '{name}': must be the printed text in quotes ('.10' and '.1' "
                f"mean different things); got {text!r}."
            )
    return dict(numbers)


def _setting(entry: Mapping[str, Any], field: str, where: str) -> str:
    value = entry[field]
    if field == "relation" and isinstance(value, list):
        return " ".join(map(str, value))
    return _text(entry, field, where)
