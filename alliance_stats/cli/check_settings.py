"""What ``alliance-stats check`` is asked: each option of the command line is a field here."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

__all__ = ["CheckSettings", "Written", "asks_for"]


def _column(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="COLUMN", help=text)
    return option


def _option(metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, help=text)
    return option


Name = str | None
Many = list[str] | None
Limits = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Written:
    """Format of a file; None if not stated."""

    sheet: str | None
    separator: str | None
    decimal: str | None
    encoding: str | None
    header_rows: int

    def options(self) -> dict[str, Any]:
        """Return what was said as the keywords of ``read_table``."""
        separator = None if self.separator is None else self.separator.replace("\\t", "\t")
        said = {
            "sheet": self.sheet,
            "separator": separator,
            "decimal": self.decimal,
            "encoding": self.encoding,
        }
        return {
            **{name: value for name, value in said.items() if value is not None},
            "header_rows": self.header_rows,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What is to be checked: the files, the columns of the roles, and their formats."""

    file: Annotated[Path, typer.Argument(help="A row per person x session; the suffix says how.")]
    person: Annotated[Name, _column("Column of person ids (needed).")] = None
    family: Annotated[Name, _column("Column of family ids.")] = None
    therapist: Annotated[Name, _column("Column of therapist ids.")] = None
    session: Annotated[Name, _column("Session number: whole, 0 or more.")] = None
    time: Annotated[Name, _column("Continuous time since start.")] = None
    role: Annotated[Name, _column("Place in the family: mother, child, ...")] = None
    rater: Annotated[Name, _column("Who rated, where several did.")] = None
    alliance: Annotated[Name, _column("Alliance score.")] = None
    outcome: Annotated[Name, _column("Outcome score.")] = None
    ending: Annotated[Name, _column("ongoing, dropout, planned or transferred.")] = None
    ending_word: Annotated[
        Many, _option("WORD=ENDING", "What an ending stands for: abgebrochen=dropout.")
    ] = None
    ending_session: Annotated[Name, _column("Last attended session.")] = None
    score: Annotated[Many, _column("A further score; may be repeated.")] = None
    scale: Annotated[
        Many, _option("NAME=ITEMS", "Items of a questionnaire: wai=i1,i2,i3; may be repeated.")
    ] = None
    reverse: Annotated[Many, _option("ITEM", "An item that counts reversed; may be repeated.")] = (
        None
    )
    item_range: Annotated[
        Limits, _option("LOW HIGH", "Lowest and highest answer of the scales' items.")
    ] = None
    wide: Annotated[
        Name, _option("PATTERN", "Columns repeat by session: '{score}_s{session}'.")
    ] = None
    repeated: Annotated[
        Many,
        _option(
            "COLUMN=VALUE",
            "Which rows are sessions: redcap_repeat_instrument=session_form; may be repeated.",
        ),
    ] = None
    missing: Annotated[
        list[float] | None, _option("NUMBER", "A number that stands for missing; may be repeated.")
    ] = None
    alliance_range: Annotated[Limits, _option("LOW HIGH", "Limits of the alliance scale.")] = None
    outcome_range: Annotated[Limits, _option("LOW HIGH", "Limits of the outcome scale.")] = None
    unit: Annotated[Name, _option("LEVEL", "Who ends treatment: family or person.")] = None
    local_ids: Annotated[
        Many, _option("LEVEL", "family or person, if numbered anew in each parent.")
    ] = None
    families: Annotated[
        Path | None, _option("FILE", "A second table, a row per family, to be joined.")
    ] = None
    sheet: Annotated[Name, typer.Option(help="Sheet of an Excel file.")] = None
    separator: Annotated[Name, _option("MARK", "Between columns of a text file, such as ';'.")] = (
        None
    )
    decimal: Annotated[str, _option("MARK", "Decimal mark: . or ,")] = "."
    encoding: Annotated[str, typer.Option(help="Of a text file, such as cp1252.")] = "utf-8"
    header_rows: Annotated[
        int, _option("N", "Rows that name the columns: 3 in a Qualtrics export.")
    ] = 1
    families_sheet: Annotated[Name, typer.Option(help="Sheet of the families' file.")] = None
    families_separator: Annotated[
        Name, _option("MARK", "If the families file is written otherwise.")
    ] = None
    families_decimal: Annotated[Name, _option("MARK", "Likewise.")] = None
    families_encoding: Annotated[Name, typer.Option(help="Likewise.")] = None

    @property
    def roles(self) -> dict[str, str | None]:
        """Role -> column, None if the table has none; without the person."""
        names = ("family", "therapist", "session", "time", "role", "rater", "alliance", "outcome",
                 "ending", "ending_session")  # fmt: skip
        return {name: getattr(self, name) for name in names}

    @property
    def columns(self) -> dict[str, str]:
        """Role -> column of the file, for the roles that were named: no scale has a column yet."""
        scales = {text.partition("=")[0] for text in self.scale or []}
        named = {"person": self.person, **self.roles}
        return {
            role: column
            for role, column in named.items()
            if column is not None and column not in scales
        }

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Role of a score -> its limits, if stated."""
        said = {"alliance": self.alliance_range, "outcome": self.outcome_range}
        return {role: limits for role, limits in said.items() if limits is not None}

    @property
    def written(self) -> Written:
        """Format of the sessions' file."""
        return Written(self.sheet, self.separator, self.decimal, self.encoding, self.header_rows)

    @property
    def families_written(self) -> Written:
        """Format of the families' file, if it is a separate one."""
        return Written(
            self.families_sheet,
            self.families_separator,
            self.families_decimal,
            self.families_encoding,
            1,
        )


def asks_for(settings: type) -> Callable[[Callable[[Any], None]], Callable[..., None]]:
    """Give a command the fields of its settings as options; the signature is read."""
    hints = get_type_hints(settings, include_extras=True)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(settings)
    ]

    def with_options(command: Callable[[Any], None]) -> Callable[..., None]:
        @wraps(command)
        def asked(**given: object) -> None:
            command(settings(**given))

        asked.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        asked.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del asked.__wrapped__
        return asked

    return with_options
