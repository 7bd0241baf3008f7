"""A study: a long table, checked once, that knows the roles of its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from alliance_stats.errors import DataError
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.study.anonymity import IdKey, deidentified
from alliance_stats.study.courses import ROLES
from alliance_stats.study.description import MEASURED, StudyDescription, describe_study
from alliance_stats.study.entry import Range, entered, long_table, named_scores
from alliance_stats.study.readers import read_table
from alliance_stats.study.units import LEVELS, one_row_per

__all__ = ["Study"]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Study:
    """A validated long table of sessions and the roles of its columns.

    Made by :meth:`from_frame` and :meth:`from_file` only. The table is never changed afterwards:
    every property returns a new frame, to be passed to the estimating functions.

    Attributes
    ----------
    unit
        ``"family"`` or ``"person"``: the unit that ends treatment.
    rows
        The row ledger: what was read, and what :meth:`keep` set aside.
    notes
        What was changed on entry.
    """

    _data: pd.DataFrame
    _roles: Mapping[str, str]
    _scores: tuple[str, ...]
    _limits: Mapping[str, tuple[float, float]]
    unit: str
    rows: RowLedger
    notes: tuple[str, ...]

    @classmethod
    def from_frame(
        cls,
        data: pd.DataFrame,
        *,
        person: str,
        family: str | None = None,
        therapist: str | None = None,
        session: str | None = None,
        time: str | None = None,
        role: str | None = None,
        rater: str | None = None,
        alliance: str | None = None,
        outcome: str | None = None,
        scores: Mapping[str, tuple[float, float] | None] | None = None,
        ending: str | None = None,
        endings: Mapping[str | int, str] | None = None,
        ending_session: str | None = None,
        unit: str | None = None,
        score_range: Range | None = None,
        local_ids: Sequence[str] = (),
        missing: Sequence[float] = (),
        repeated: Mapping[str, object] | None = None,
    ) -> "Study":
        """Check a long table, one row per person x session (x rater), and keep a copy of it.

        Parameters
        ----------
        data
            The table. It is copied, never changed; its row labels are kept.
        person, family, therapist
            Columns of ids: text, whole numbers or categories. Only `person` is required. In the
            study they are plain values (a column that mixes numbers and text becomes text).
        session, time
            Session number (whole, not negative; 0 is an intake) and continuous time since start
            (not negative). With neither, each person (and rater) has one row. Where `time` names
            dates (2024-03-31, 31.3.2024), the study counts the days since the first date of the
            unit that ends treatment, in a column of its own.
        role
            Place in the family (mother, father, child, partner, ...); one per person.
        rater
            Who gave the rating, if several rated the same person x session.
        alliance, outcome
            Numeric scores. Missing values are allowed and counted.
        scores
            Any number of further scores, column -> its limits or None, as in ``{"task": (1, 7),
            "bond": (1, 7), "phq9": None}``; they are checked and described like the two above.
        ending
            Status of treatment: ongoing, dropout, planned or transferred (missing if unknown),
            the same in all rows of a unit.
        endings
            Meaning of the endings in the table, if in other words or codes, as in
            ``{"abgebrochen": "dropout", 3: "planned"}``; recoding is noted.
        ending_session
            Last session that the unit attended, the same in all its rows (missing if unknown).
            Later rows are refused.
        unit
            Which unit ends treatment, ``"family"`` or ``"person"``. By default the family where a
            family column is given, else the person.
        score_range
            ``(low, high)`` of the alliance scale, or ``{"alliance": ..., "outcome": ...}``; scores
            outside are refused.
        local_ids
            Of ``"family"`` and ``"person"``, those whose ids restart in each parent
            (family in therapist; person in family, or in therapist where there is no family).
            The study then carries ``"<parent>/<id>"`` in those columns and notes it.
        missing
            Numbers that code a missing value in scores, items and other numbers without a
            role, as in ``(-9, 99)``; a note counts them.
        repeated
            If rows of persons are mixed with those of sessions, as in REDCap's exports: the column
            that distinguishes them and its value in rows of sessions, as in
            ``{"redcap_repeat_instrument": "session_form"}``, or a list of values where a session is
            spread over several forms. The person's values from the other rows are added to its
            sessions, with a note.

        Returns
        -------
        Study

        Raises
        ------
        DataError
            For anything impossible; the message names the column and the rows, and says what to do.

        Warns
        -----
        AllianceStatsWarning
            If units that ended treatment have two or more last sessions without any score, and
            no `ending_session` vouches for them: a row counts as an attended session.
        """
        given = (person, family, therapist, session, time, role, rater, alliance, outcome, ending,
                 ending_session)  # fmt: skip
        checked = entered(
            data, dict(zip(ROLES, given, strict=True)), scores=named_scores(scores),
            endings=endings, unit=unit, score_range=score_range, local_ids=local_ids,
            missing=missing, repeated=repeated,
        )  # fmt: skip
        return cls(*checked)

    @classmethod
    def from_wide(
        cls,
        data: pd.DataFrame,
        *,
        wide: str,
        person: str | None = None,
        family: str | None = None,
        therapist: str | None = None,
        alliance: str | None = None,
        outcome: str | None = None,
        scores: Mapping[str, tuple[float, float] | None] | None = None,
        role: str | None = None,
        time: str | None = None,
        ending: str | None = None,
        endings: Mapping[str | int, str] | None = None,
        ending_session: str | None = None,
        unit: str | None = None,
        score_range: Range | None = None,
        local_ids: Sequence[str] = (),
        missing: Sequence[float] = (),
    ) -> "Study":
        """Make a table of one row per person (or family) long, then check it as :meth:`from_frame`.

        Parameters
        ----------
        data
            A row per person; or per family, where the pattern has ``{role}``: then the study
            builds its person ids, ``"<family>/<role>"``, and `person` is left out.
        wide
            How the repeated columns are named: ``"{score}_s{session}"`` for ``wai_s1, wai_s2, ...,
            phq_s1, ...``; ``"{role}_{item}_{session}"`` for ``mother_wai3_12``; ``{rater}``
            likewise.
            Their columns are then named ``session``, ``role``, ``rater``, ``person`` and as the
            scores.
        alliance, outcome, scores
            Names that ``{score}`` (or ``{item}``) stands for, as in ``alliance="wai"``.
        time
            Likewise, a session's time or date, ``time="date"`` for ``date_s1, date_s2, ...``.
        person, family, therapist, role, ending, endings, ending_session, unit, score_range, \
        local_ids, missing
            As in :meth:`from_frame`; columns that are not repeated.

        Raises
        ------
        DataError
            As :meth:`from_frame`; if no column matches `wide`, or a unit has two rows.
        """
        by_role = "{role}" in wide
        long = long_table(
            data,
            wide,
            units={"person": person, "family": family, "therapist": therapist, "role": role},
            ending=(ending, endings or {}),
            missing=missing,
            ranges=(score_range, {"alliance": alliance, "outcome": outcome}, named_scores(scores)),
        )
        study = cls.from_frame(
            long.frame, person="person" if by_role else str(person), family=family,
            therapist=therapist, session="session", time=time, role="role" if by_role else role,
            rater="rater" if "rater" in long.keys else None, alliance=alliance, outcome=outcome,
            scores=scores, ending=ending, endings=endings, ending_session=ending_session,
            unit=unit, score_range=score_range, local_ids=local_ids,
        )  # fmt: skip
        return replace(study, notes=(*long.notes, *study.notes))

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        person: str | None = None,
        family: str | None = None,
        therapist: str | None = None,
        session: str | None = None,
        time: str | None = None,
        role: str | None = None,
        rater: str | None = None,
        alliance: str | None = None,
        outcome: str | None = None,
        scores: Mapping[str, tuple[float, float] | None] | None = None,
        wide: str | None = None,
        ending: str | None = None,
        endings: Mapping[str | int, str] | None = None,
        ending_session: str | None = None,
        unit: str | None = None,
        score_range: Range | None = None,
        local_ids: Sequence[str] = (),
        missing: Sequence[float] = (),
        repeated: Mapping[str, object] | None = None,
        sheet: str | None = None,
        separator: str | None = None,
        decimal: str = ".",
        encoding: str = "utf-8",
        header_rows: int = 1,
    ) -> "Study":
        """Read a file and check it as :meth:`from_frame` does.

        The suffix determines the format: ``.csv`` (UTF-8, commas, decimal points, unless stated
        otherwise), ``.tsv``, ``.xlsx``, ``.parquet``, ``.sav`` / ``.zsav`` (SPSS), ``.dta``
        (Stata), ``.sas7bdat`` (SAS). See :func:`~alliance_stats.study.readers.read_table` for what
        each reader does with ids, row labels, value labels and user-missing codes; what it changed
        is in ``study.notes``.

        Parameters
        ----------
        path
            The file. Its columns are named by text: a whole number names the column with that text.
        wide
            How repeated columns are named, if the file has a row per person or family; see
            :meth:`from_wide`.
        sheet
            Sheet of an Excel file; required if there are several sheets.
        separator, decimal, encoding
            How a text file is written, as in ``separator=";", decimal=",", encoding="cp1252"`` of
            German, Dutch or Swedish Excel. Never guessed: by default comma (tab in .tsv), point
            and UTF-8, and a file in another format is refused.
        header_rows
            How many rows name the columns of a text or Excel file: 3 in a Qualtrics export. The
            first contains the names, the others are set aside with a note.
        person, family, therapist, session, time, role, rater, alliance, outcome, scores, ending, \
        endings, ending_session, unit, score_range, local_ids, missing, repeated
            As in :meth:`from_frame`.

        Raises
        ------
        DataError
            If the file cannot be read as its suffix says, or its data are impossible.
        ImportError
            If the format needs the optional extra ``files``; the message names it.
        """
        given = (person, family, therapist, session, time, role, rater, alliance, outcome, ending,
                 ending_session)  # fmt: skip
        roles: dict[str, Any] = dict(zip(ROLES, map(_in_a_file, given), strict=True))
        table = read_table(
            path,
            ids=[roles[level] for level in LEVELS if roles[level]],
            labelled=[roles[name] for name in ("role", "rater", "ending") if roles[name]],
            sheet=sheet, separator=separator, decimal=decimal, encoding=encoding,
            header_rows=header_rows,
        )  # fmt: skip
        moments = {name: roles.pop(name) for name in ("session", "rater")}
        moments["repeated"] = repeated
        shared: dict[str, Any] = {
            **roles,
            "scores": {_in_a_file(name): pair for name, pair in named_scores(scores).items()},
            "endings": endings,
            "unit": unit,
            "score_range": score_range,
            "local_ids": local_ids,
            "missing": missing,
        }
        if wide is None:
            study = cls.from_frame(table.frame, **shared, **moments)
        else:
            asked = [name for name, column in moments.items() if column is not None]
            if asked:
                raise DataError(f"{asked[0]}= and wide= exclude each other; wide= makes it.")
            study = cls.from_wide(table.frame, wide=wide, **shared)
        return replace(study, notes=(*table.notes, *study.notes))

    @property
    def roles(self) -> dict[str, str]:
        """Role -> column, for the roles that were given."""
        return dict(self._roles)

    @property
    def scores(self) -> tuple[str, ...]:
        """The further scores that were named, besides the roles."""
        return self._scores

    @property
    def sessions(self) -> pd.DataFrame:
        """The whole table, a row per person x session (x rater), under the caller's names."""
        return self._data.copy()

    @property
    def persons(self) -> pd.DataFrame:
        """A row per person; see :meth:`families` for which columns it has."""
        return self._one_row_per("person")

    @property
    def families(self) -> pd.DataFrame:
        """A row per family, with the columns that are constant within every family.

        A column that varies within any family has no single value to show and is left out:
        summarise it first (``decompose``, ``last_session``, ``groupby``) to bring it to this level.
        Rows without a value that other rows of the same person have do no harm, and ``describe()``
        counts them; a column without any value for a person is left out if others of the family
        have one, and ``describe()`` says so; for scores and times, a missing value counts as a
        value. Rows are in order of first appearance.
        """
        return self._one_row_per("family")

    @property
    def therapists(self) -> pd.DataFrame:
        """A row per therapist; see :meth:`families` for which columns it has."""
        return self._one_row_per("therapist")

    def keep(self, kept: npt.ArrayLike, *, reason: str) -> "Study":
        """Return the study with only the rows where `kept` is true; the ledger says why.

        Parameters
        ----------
        kept
            One truth value per row of :attr:`sessions`, in its order.
        reason
            Why the other rows were set aside, as printed in the participant flow.
        """
        mask = np.asarray(kept)
        if mask.shape != (len(self._data),) or mask.dtype != np.bool_:
            raise DataError(
                f"kept must hold one true/false per row ({len(self._data)}); got shape "
                f"{mask.shape} of type {mask.dtype}."
            )
        if not mask.any():
            raise DataError(f"No row is left after: {reason}.")
        frame, rows = self.rows.keep(self._data, mask, reason=reason)
        return replace(self, _data=frame, rows=rows)

    def deidentify(self, *, key: IdKey | None = None) -> tuple["Study", IdKey]:
        """Return a study whose families cannot be recognised by ids, dates or words, and the key.

        Parameters
        ----------
        key
            The key of an earlier call, so that everybody keeps the same code in a later export.

        Returns
        -------
        (Study, IdKey)
            The study with codes (``P001``) for ids, in an order drawn from the operating system's
            randomness, and days since the person's first for dates; and the key for
            re-identification, which must never be kept beside it.

        Raises
        ------
        DataError
            If a column without a role, or that of roles or raters, contains written dates (also
            within a text, or as 20240103), free text (more than 20 different texts, or one of more
            than 30 characters), an id within a text, or a different text or whole number for
            (nearly) every person, family or therapist, such as initials or file numbers.

        Notes
        -----
        ``notes`` name the columns with a category of fewer than five persons. Not checked are dates
        as day counts of another calendar (a spreadsheet's numbers), exact ages and measures that
        others know, and rare combinations of common values: check tables of what others know with
        :func:`alliance_stats.study.small_cells`.

        Examples
        --------
        >>> from alliance_stats import example_study
        >>> coded, key = example_study().deidentify()
        >>> key
        <IdKey: 621 of person, 240 of family, 30 of therapist>
        """
        data, made, notes = deidentified(self._data, self._roles, key)
        return replace(self, _data=data, rows=self.rows, notes=notes), made

    def describe(self) -> StudyDescription:
        """Return a first overview: units, sizes, missing values, scores and their correlations."""
        return describe_study(
            self._data, self._roles, scores=self._scores, limits=self._limits, unit=self.unit,
            rows=self.rows, notes=self.notes,
        )  # fmt: skip

    def __repr__(self) -> str:
        names = {"person": "persons", "family": "families", "therapist": "therapists"}
        units = [
            plural(self.rows.units(level), level, names[level])
            for level in LEVELS
            if level in self._roles
        ]
        return f"<Study: {plural(len(self._data), 'row')}, {', '.join(units)}>"

    def _one_row_per(self, level: str) -> pd.DataFrame:
        if level not in self._roles:
            raise DataError(
                f"This study has no {level} column; give {level}= when the study is made."
            )
        below = [self._roles[name] for name in LEVELS[: LEVELS.index(level)] if name in self._roles]
        return one_row_per(
            self._data,
            self._roles[level],
            inner=below[-1] if below else None,
            measured=[
                *(self._roles[role] for role in MEASURED if role in self._roles),
                *self._scores,
            ],
        )


def _in_a_file(name: Any) -> Any:
    """Return the name of a file's column, which is text: 2020 names the one that shows it."""
    return str(name) if isinstance(name, Integral) and not isinstance(name, bool) else name
