"""What a relation between printed numbers is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from alliance_stats.evidence.intervals import Interval, tail_probability

__all__ = ["Box", "Image", "Relation", "Setting", "no_df", "p_relations", "row_df", "stars_twin"]

# quantity -> what its printed text stands for
Box = Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a row is to be read: coverage of its interval and tails of its p-value."""

    conf_level: float = 0.95
    tails: str = "two"


# inputs' intervals and the row's setting -> the feasible set of the target
Image = Callable[[Box, Setting], Interval]


@dataclass(frozen=True, slots=True)
class Relation:
    """A formula that yields one printed number from others printed beside it.

    Attributes
    ----------
    name
        Its name in records and reports.
    target
        The quantity it yields.
    inputs
        The quantities it needs.
    image
        Inputs' intervals -> the feasible set of the target. Never narrower than the truth.
    formula
        In words and symbols.
    source
        Author, year, DOI.
    path
        Relations of one target with the same path are alternatives for the same numbers (pooled
        or Welch; t or normal): one that reproduces is enough.
    exact
        Whether `image` is the feasible set itself; otherwise it encloses it.
    fallback
        Whether the relation is used only where no other applies.
    leaves_open
        For a relation with something unprinted in it: says which values of that would agree.
        The printed number is then not checkable, though it can be found impossible.
    """

    name: str
    target: str
    inputs: tuple[str, ...]
    image: Image
    formula: str
    source: str
    path: str
    exact: bool = True
    fallback: bool = False
    leaves_open: Callable[[Box, Setting], str] | None = None


def row_df(box: Box) -> Interval | None:
    """Return the degrees of freedom printed in the row."""
    return box["df"]


def no_df(_: Box) -> None:
    """Return ``None``: the statistic is read against the normal distribution."""


def p_relations(
    relation: Relation, *, name: str, df: Callable[[Box], Interval | None]
) -> tuple[Relation, Relation]:
    """Return the p-value, and the stars, that follow from a relation for a t or z statistic.

    The p is found from the feasible set of the statistic (and of df, where it is not fixed), so
    it is exact if the statistic's set is and df does not depend on the same rounded inputs.
    """

    def image(box: Box, setting: Setting) -> Interval:
        return tail_probability(relation.image(box, setting), df(box), setting.tails)

    p_value = replace(
        relation,
        name=name,
        target="p_value",
        image=image,
        formula=f"p of {relation.formula}",
        path=f"p {relation.path}",
    )
    return p_value, stars_twin(p_value)


def stars_twin(relation: Relation) -> Relation:
    """Return the relation that yields the stars for the p that `relation` yields."""
    return replace(
        relation,
        name=f"stars_from_{relation.name}",
        target="stars",
        formula=f"stars for {relation.formula}",
    )
