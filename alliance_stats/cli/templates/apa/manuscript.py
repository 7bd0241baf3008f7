"""The parts of the paper that manuscript.qmd prints, from the results of analysis.py.

Your own files and columns are named in analysis.py alone. Rendering writes references.bib anew: the
publications of the methods that were used. Your own literature belongs into literature.bib.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import analysis
import pandas as pd

from alliance_stats.account import Accountable
from alliance_stats.association import Correlations, correlations
from alliance_stats.cli.page import Part
from alliance_stats.figures.participants import participant_flow_figure
from alliance_stats.formatting import plural, write_estimate
from alliance_stats.groups import TableOne, table_one
from alliance_stats.output import write_whole
from alliance_stats.sentences import bibliography, methods_paragraph, report
from alliance_stats.study import ParticipantFlow, Study, participant_flow
from alliance_stats.tables import ReportTable, sample_table, tidy_table

HERE = Path(__file__).parent

SCREENED: int | None = None  # how many were assessed for eligibility, where that is known
EXCLUDED: dict[str, int] = {}  # why some of them did not take part: {"no consent": 12}

FIRST = "first session"
PLURALS = {"family": "families", "person": "persons", "therapist": "therapists"}


@dataclass(frozen=True)
class Paper:
    """The results, who took part, and the level of the intervals."""

    results: analysis.Results
    flow: ParticipantFlow
    sample: TableOne | None
    raters: Correlations | None
    conf_level: float

    @classmethod
    def of_the_study(cls, *, conf_level: float = 0.95) -> "Paper":
        """Compute the results of analysis.py, and count who took part."""
        results = analysis.analyse()
        group = analysis.GROUP if analysis.GROUP in results.data.sessions else None
        flow = participant_flow(
            results.data, group=group, screened=SCREENED, excluded=EXCLUDED or None
        )
        sample = None if group is None else at_the_beginning(results.data, group)
        return cls(results, flow, sample, beside(results.everyone), conf_level)

    def source(self) -> list[Part]:
        """Say where the data come from, as long as that is the simulated example."""
        return [analysis.SOURCE] if "simulated" in analysis.SOURCE else []

    def abstract(self) -> list[Part]:
        """Say who took part and what was found, as sentences to be shortened."""
        found = self.results.model.tidy(conf_level=self.conf_level)
        slope = found[found["term"] == "session"].iloc[0]
        b = write_estimate(slope["estimate"], slope["conf_low"], slope["conf_high"])
        level = f"{100 * self.conf_level:g}% CI"
        said = f"Results: The alliance changed by {b.estimate} a session, {level} {b.interval}."
        left = self.results.dropout
        if left is not None:
            n, events = left.curves.rows.n_used, int(left.curves.tidy()["n_event"].sum())
            of = plural(n, analysis.UNIT, PLURALS[analysis.UNIT])
            said += f" Of {of}, {events or 'none'} dropped out."
        return [f"Method: {self.counted()}", said]

    def counted(self) -> str:
        """Say how many took part."""
        units = {level: self.flow.rows.units(level) for level in self.flow.levels}
        parts = [plural(n, level, PLURALS[level]) for level, n in units.items()]
        *first, last = parts
        who = f"{', '.join(first)} and {last}" if first else last
        return f"{who} gave {plural(self.results.rated.rows.n_used, 'rating')} of the alliance."

    def participants(self) -> list[Part]:
        """Show the flow, and what they were like at the beginning."""
        flow = participant_flow_figure(self.flow, words=self.words(), label="fig-participants")
        table = self.described() if self.sample is None else self.compared()
        shown = f"@fig-participants shows their flow, @{table.label} what they were like."
        return [f"{self.counted()} {shown}", flow, table]

    def compared(self) -> ReportTable:
        """Print the groups at their first session."""
        assert self.sample is not None
        return sample_table(
            self.sample, label="tbl-sample", caption="The groups in their first session."
        )

    def described(self) -> ReportTable:
        """Print sizes and scores, where there are no groups."""
        found = self.results.data.describe()
        rows = found.tidy().query("about in ['size', 'score']")
        columns = {"term": "Variable", "n": "n", "mean": "M", "sd": "SD", "minimum": "Minimum",
                   "maximum": "Maximum"}  # fmt: skip
        return tidy_table(
            rows[list(columns)],
            columns,
            label="tbl-sample",
            caption="Sizes and scores.",
            note="Scores are of all ratings.",
            source=found,
        )

    def words(self) -> dict[str, str]:
        """Return what analysis.WORDS says of arms and endings."""
        known = {*self.flow.groups, *self.flow.table["term"]}
        return {name: said for name, said in analysis.WORDS.items() if name in known}

    def measures(self) -> list[Part]:
        """Say how reliable the scores are, where there are items, and how raters go together."""
        said: list[Part] = [*analysis.scales(self.results)]
        if self.raters is not None:
            who = ", ".join(self.raters.variables)
            said.append(
                f"The alliance was rated by {who}; those of {analysis.RATED_BY} are analysed here. "
                f"{report(self.raters, conf_level=self.conf_level)}"
            )
        return said

    def used(self) -> dict[str, Accountable]:
        """Return what each result was for -> the result, in the order of the paper."""
        found: dict[str, Any] = {"Participants": self.flow}
        if self.sample is not None:
            found["First session"] = self.sample
        if self.raters is not None:
            found["Raters"] = self.raters
        found |= {f"Scale {name}": scale for name, scale in self.results.scales.items()}
        found |= analysis.used(self.results)
        return found

    def statistics(self, folder: Path = HERE) -> list[Part]:
        """Say how it was computed, and write the references of that."""
        write_whole(folder / "references.bib", bibliography(self.used()))
        return [methods_paragraph(self.used(), seed=analysis.SEED, cited=True)]

    def course(self) -> list[Part]:
        """Show the alliance over sessions and its model."""
        parts: list[Part] = analysis.course(self.results, conf_level=self.conf_level)
        return parts

    def dropout(self) -> list[Part]:
        """Show after which session they left."""
        parts: list[Part] = analysis.dropout(self.results, conf_level=self.conf_level)
        return parts

    def groups(self) -> list[Part]:
        """Compare the groups in their last session."""
        parts: list[Part] = analysis.groups(self.results, conf_level=self.conf_level)
        return parts


def at_the_beginning(data: Study, group: str) -> TableOne | None:
    """Describe the groups by their members and their mean scores in their first session."""
    who, session, frame = analysis.WHO, analysis.SESSION, data.sessions
    first = frame[frame[session] == frame.groupby(who)[session].transform("min")]
    units = frame.groupby(who)[group].first().to_frame()
    scores = {"alliance": analysis.ALLIANCE, "outcome": analysis.OUTCOME}
    for column in filter(None, scores.values()):
        units[f"{column}, {FIRST}"] = first.groupby(who)[column].mean()
    if who != analysis.PERSON:
        units["members"] = frame.groupby(who)[analysis.PERSON].nunique()
    known = [name for name in units if name != group and units[name].notna().any()]
    if units[group].nunique() < 2 or not known:
        return None
    plain = pd.DataFrame(units.reset_index())
    return table_one(plain, variables=known, group=group, unit=who, unit_name=data.unit)


def beside(data: Study) -> Correlations | None:
    """Return how the ratings of one session by several raters go together, within persons."""
    if analysis.RATER is None:
        return None
    keys = [analysis.PERSON, analysis.SESSION]
    wide = data.sessions.pivot(index=keys, columns=analysis.RATER, values=analysis.ALLIANCE)
    names = [str(name) for name in wide]
    frame = wide.set_axis(names, axis=1).reset_index()
    return correlations(frame, names, within=analysis.PERSON) if len(names) > 1 else None
