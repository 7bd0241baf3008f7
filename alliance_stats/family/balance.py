"""Balance within families, modelled member by member and without difference scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from alliance_stats.account import Account, Section, html_of, summary_of
from alliance_stats.checks import (
    check_frame,
    group_codes,
    require_columns,
    require_present,
    units_with_several,
)
from alliance_stats.design.formula import (
    CONSTANT,
    OwnColumn,
    RandomTerm,
    bound_formula,
    column,
    formula_of,
    intercepts,
    nested_intercepts,
    parse_formula,
)
from alliance_stats.door import replaced
from alliance_stats.errors import DataError, NotIdentifiedError
from alliance_stats.estimates import Integers, one_line
from alliance_stats.family.family_members import refuse_moved
from alliance_stats.formatting import plural
from alliance_stats.ledger import RowLedger
from alliance_stats.multilevel import (
    Bootstrap,
    LikelihoodRatioTest,
    LinearMixedModel,
    VarianceBy,
    likelihood_ratio_test,
    lmm,
    parametric_bootstrap,
)
from alliance_stats.renaming import renamed
from alliance_stats.seeds import Seed
from alliance_stats.spelling import check_spelling

__all__ = ["FamilyBalance", "family_balance"]

_MOST_STRATA = 10
_STRATUM: Any = OwnColumn("stratum")


def _inside(stratum: int) -> Any:
    """Return the label of the column that is 1 in a stratum and 0 elsewhere."""
    return OwnColumn(f"in_{stratum + 1}")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FamilyBalance:
    """Level and spread of families' alliances in one model. Returned by :func:`family_balance`.

    Attributes
    ----------
    model
        The mixed model with a separate spread in every stratum.
    equal
        The same model with one spread for all.
    strata
        Values of the column that the spread was split by.
    person
        The column of persons where a lasting spread (of members' own levels) is distinguished from
        a momentary one; None where each person has one row.
    ids
        Stratum, therapist (where named), family and person of each row used.
    """

    model: LinearMixedModel
    equal: LinearMixedModel
    strata: tuple[str, ...]
    person: str | None
    ids: pd.DataFrame

    __repr__ = one_line

    @property
    def rows(self) -> RowLedger:
        """Ledger of the rows used and set aside."""
        return self.model.rows

    @property
    def lasting(self) -> bool:
        """Whether a lasting spread is distinguished from a momentary one."""
        return self.person is not None

    def tidy(self) -> pd.DataFrame:
        """Return one row per kind of spread and stratum: ``term, level, estimate``.

        ``lasting``: SD of members' own levels around their family's, over the whole course.
        ``momentary``: SD of a member's rating around that level (with measurement error). Both in
        points, given the fixed effects. ``lasting ratio`` and ``momentary ratio``: of each
        stratum's SD to the first's. Intervals: :meth:`bootstrap`; effects on the level and on gaps
        between roles: ``model.tidy()``.
        """
        found = _spreads(self.model, strata=self.strata, person=self.person)
        names = [name.split("|") for name in found]
        return pd.DataFrame(
            {
                "term": [term for term, _ in names],
                "level": [level for _, level in names],
                "estimate": list(found.values()),
            }
        )

    def test(self) -> LikelihoodRatioTest:
        """Test whether all strata have the same spread, lasting and momentary.

        Likelihood-ratio test; equal variances lie inside the parameter space, so that chi-squared
        is its reference (as long as no variance is zero). It assumes normal ratings: heavy tails,
        as from ruptures and split families, make it reject far too often. Compare it with
        :meth:`deviations`, which does not.
        """
        found = likelihood_ratio_test(self.model, self.equal)
        return replace(
            found,
            p_value=float(stats.chi2.sf(found.statistic, found.df)),
            reference=f"chi-squared with {found.df} df",
        )

    def deviations(self, *, conf_level: float = 0.95) -> pd.DataFrame:
        """Compare strata by absolute deviations, without assuming normal ratings.

        After Levene (1960) and Brown & Forsythe (1974, doi:10.1080/01621459.1974.10482955): the
        absolute residuals (momentary) and the absolute predicted levels of members (lasting) under
        one spread for all are compared between strata by a linear mixed model with families and
        therapists as random effects. Members with fewer ratings have levels that are shrunk more:
        strata in which members were rated less often look narrower in ``lasting``.

        Returns
        -------
        DataFrame
            ``term`` (lasting, momentary), ``contrast`` (stratum minus the first), ``estimate``
            (difference of mean absolute deviations, points), ``std_error, statistic, df, p_value,
            conf_low, conf_high``.
        """
        kinds = {}
        if self.person is not None:
            levels = self.equal.tidy(effects="ran_vals")
            levels = levels[levels["group"] == str(self.person)]
            sizes = levels.set_index("level")["estimate"].abs()
            persons = self.ids.drop_duplicates("person")
            kinds["lasting"] = persons.assign(size=persons["person"].astype(object).map(sizes))
        residuals = self.equal.augment()["residual"].abs().to_numpy()
        kinds["momentary"] = self.ids.assign(size=residuals)
        numbers = ["estimate", "std_error", "statistic", "df", "p_value", "conf_low", "conf_high"]
        frames = []
        for kind, table in kinds.items():
            nested = [name for name in ("therapist", "family") if name in table]
            strata = table["stratum"].astype(pd.CategoricalDtype(self.strata))
            formula = formula_of("size", CONSTANT + column("stratum"), nested_intercepts(nested))
            found = lmm(formula, table.assign(stratum=strata)).tidy(conf_level=conf_level)
            contrasts = [f"{stratum} - {self.strata[0]}" for stratum in self.strata[1:]]
            frames.append(found.loc[1:, numbers].assign(term=kind, contrast=contrasts))
        return pd.concat(frames, ignore_index=True)[["term", "contrast", *numbers]]

    @renamed(n="n_resamples", n_jobs="workers")
    def bootstrap(
        self, *, seed: Seed, n_resamples: int = 1000, workers: int | None = None
    ) -> Bootstrap:
        """Draw and refit: percentile intervals of the SDs and their ratios (``term|level``)."""
        measure = partial(_spreads, strata=self.strata, person=self.person)
        return parametric_bootstrap(
            self.model, measure, n_resamples=n_resamples, seed=seed, workers=workers
        )

    def glance(self) -> pd.DataFrame:
        """Return one row: the model's, with the test of equal spread."""
        test = self.test()
        return self.model.glance().assign(
            spread_statistic=test.statistic, spread_df=test.df, spread_p_value=test.p_value
        )

    @property
    def method(self) -> str:
        """What was fitted, in a phrase."""
        return (
            "level and spread within families in one linear mixed model, a spread of its own in "
            f"each of {plural(len(self.strata), 'stratum', 'strata')}"
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before using the spreads."""
        words = {str(_inside(i)): f"members ({own})" for i, own in enumerate(self.strata)}
        return self.model.notes_in(words)

    def account(self, *, conf_level: float = 0.95) -> Account:
        """Return the spreads, the test that they are equal, absolute deviations and effects."""
        tidy, test = self.tidy(), self.test()
        ratio = tidy["term"].str.endswith("ratio")
        spreads = Section(
            "Spread",
            tidy.assign(
                what=np.where(ratio, "SD ratio", "SD"), kind=np.where(ratio, "ratio", "number")
            ),
            names=("term", "level"),
            measure="what",
            kind="kind",
        )
        equal = pd.DataFrame(
            {
                "term": ["equal spread"],
                "statistic": test.statistic,
                "df": test.df,
                "p_value": test.p_value,
            }
        )
        deviations = Section(
            "Absolute deviations",
            self.deviations(conf_level=conf_level),
            names=("term", "contrast"),
            measure="difference of means",
            conf_level=conf_level,
        )
        fixed = Section(
            "Fixed effects",
            self.model.tidy(conf_level=conf_level),
            names=("term",),
            measure="b",
            conf_level=conf_level,
        )
        tested = Section("Test", equal, names=("term",), statistic="chi-squared")
        sizes = {"rows": self.rows.n_used, "families": int(self.ids["family"].nunique())}
        sections = (spreads, tested, deviations, fixed)
        return Account.of(self, sizes, sections, sources=("brown1974",))

    summary = summary_of
    _repr_html_ = html_of


def family_balance(
    fixed: str,
    data: pd.DataFrame,
    *,
    family: str,
    person: str,
    spread_by: str,
    therapist: str | None = None,
    reml: bool = True,
) -> FamilyBalance:
    """Model members' ratings with a separate within-family variance in every stratum.

    The cross-level effect of experience on the level is its coefficient in `fixed`, that on the
    balance between roles is its product with role, and that on the spread between members is
    estimated by the strata. Scores are not subtracted from each other, so no difference carries two
    errors.

    Parameters
    ----------
    fixed
        Outcome and fixed effects: ``"alliance ~ session + role * experience"``. Role belongs in it:
        otherwise lasting role differences count as spread.
    data
        Long table, one row per member (x session); not changed.
    family, person
        Id columns.
    spread_by
        Column of strata, constant within a family (a framework, or experience in groups formed by
        the caller); ratios are to the first (of a Categorical's order, else sorted).
    therapist
        Column of the therapist, for a random effect above the families.
    reml
        Restricted or ordinary maximum likelihood.

    Returns
    -------
    FamilyBalance
        ``model`` with its ``tidy()``, and ``tidy()``, ``test()``, ``bootstrap(seed=)`` of the
        spread. Persons with several rows have individual levels, so that lasting and momentary
        spread are separated; with one row per person there is one spread.

    Raises
    ------
    DataError
        A stratum that is missing or differs within a family.
    NotIdentifiedError
        Fewer than two strata.

    Examples
    --------
    >>> from alliance_stats import example_study, family_balance
    >>> sessions = example_study().sessions.query("session <= 3")
    >>> model = family_balance(
    ...     "alliance ~ session", sessions, family="family", person="person",
    ...     spread_by="parent_trauma",
    ... )
    >>> model.tidy()[["term", "estimate"]].round(2).tail(2)
                  term  estimate
    4    lasting ratio      0.93
    5  momentary ratio      0.98
    """
    data = check_frame(data)
    codes, strata = _strata(
        data, family=family, person=person, spread_by=spread_by, therapist=therapist
    )
    lasting = bool(data[person].duplicated().any())
    data = data.reset_index(drop=True)  # the fits' rows are found by their position
    asked = bound_formula(parse_formula(fixed), list(data.columns))
    stratum = np.asarray(strata, dtype=object)[codes]
    inside = {_inside(i): (codes == i).astype(np.float64) for i in range(len(strata))}
    table = replaced(data, {_STRATUM: stratum, **inside})
    above = nested_intercepts([family] if therapist is None else [therapist, family])
    random = [*asked.random, *above]
    spread = [RandomTerm(column(name), (person,)) for name in inside] if lasting else []
    level = [intercepts([person])] if lasting else []
    given = (asked.outcome, asked.fixed)
    residual = VarianceBy(_STRATUM)
    model = lmm(formula_of(*given, [*random, *spread]), table, reml=reml, residual=residual)
    equal = lmm(formula_of(*given, [*random, *level]), table, reml=reml)
    nested = {"therapist": therapist, "family": family, "person": person}
    ids = {name: data[source].array for name, source in nested.items() if source is not None}
    used = pd.DataFrame({"stratum": stratum, **ids}).loc[model.design.index]
    return FamilyBalance(model, equal, strata, person if lasting else None, used)


def _strata(
    data: pd.DataFrame, *, family: str, person: str, spread_by: str, therapist: str | None
) -> tuple[Integers, tuple[str, ...]]:
    """Return each row's stratum as a number, and the strata's names."""
    require_columns(data, [family, person, spread_by, therapist])
    require_present(data, spread_by, why="to know which spread a row belongs to")
    several = units_with_several(data, unit=family, column=spread_by)
    if len(several):
        raise DataError(
            f"'{spread_by}' differs within '{family}' '{several[0]}'; the spread within a family "
            "can only be split by what the family has as a whole."
        )
    refuse_moved(data, family=family, person=person)
    check_spelling(data[spread_by])
    codes, values = group_codes(data[spread_by])
    strata = tuple(str(value) for value in values)
    if len(strata) > _MOST_STRATA:
        raise DataError(
            f"'{spread_by}' has {len(strata)} values; the spread is split by groups, at most "
            f"{_MOST_STRATA}. Cut it into groups (pandas.cut) in a column of its own."
        )
    if len(strata) < 2:
        raise NotIdentifiedError(
            f"'{spread_by}' has the one value '{strata[0]}'; a spread can be split by two or more."
        )
    return codes, strata


def _spreads(
    model: LinearMixedModel, *, strata: Sequence[str], person: str | None
) -> Mapping[str, float]:
    """SDs by stratum and their ratios to the first's, named ``term|stratum``."""
    pars = model.tidy(effects="ran_pars")
    residual = pars[pars["group"] == "Residual"].set_index("level")["estimate"]
    kinds = {"momentary": [float(residual[stratum]) for stratum in strata]}
    if person is not None:
        own = pars[pars["group"] == str(person)].set_index("term")["estimate"]
        kinds = {"lasting": [float(own[f"sd__{_inside(i)}"]) for i in range(len(strata))], **kinds}
    found = {
        f"{kind}|{s}": v for kind, sds in kinds.items() for s, v in zip(strata, sds, strict=True)
    }
    for kind, sds in kinds.items():
        for stratum, sd in zip(strata[1:], sds[1:], strict=True):
            ratio = sd / sds[0] if sds[0] > 0 else np.nan
            found[f"{kind} ratio|{stratum} / {strata[0]}"] = ratio
    return found
