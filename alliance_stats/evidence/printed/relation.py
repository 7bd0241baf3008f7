"""What a relation between printed numbers is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from alliance_stats.evidence.printed.feasible import Interval, tail_probability

__all__ = [
    "Box",
    "Image",
    "Relation",
    "Setting",
    "any_df",
    "loosened",
    "no_df",
    "p_relations",
    "row_df",
    "stars_twin",
]

# quantity -> what its printed text stands for
Box = Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Setting:
    """How a row is read: coverage of its interval and tails of its p-value.

    `tails` is ``"two"``, ``"one"`` (the tail on the side of the estimate) or ``"other"``.
    """

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
    unless
        Quantities that must not be printed, because they would settle what is left open.
    about_interval
        Whether what is left open is how the interval was made.
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
    unless: tuple[str, ...] = ()
    about_interval: bool = False

    @property
    def is_firm(self) -> bool:
        """Whether the relation leaves nothing open."""
        return self.leaves_open is None


def loosened(
    relation: Relation,
    image: Image,
    said: str,
    *,
    name: str,
    also: tuple[str, ...] = (),
    unless: tuple[str, ...] = (),
    about_interval: bool = False,
) -> Relation:
    """Return a relation in which something is left open, said in words.

    Parameters
    ----------
    relation
        What it is an alternative to: it yields the same target on the same path.
    image
        What it allows.
    said
        What would have to be so for the printed number to follow.
    name
        Of the new relation.
    also, unless
        Quantities that must be printed too, and that must not be.
    about_interval
        Whether it is the making of the interval that is left open.
    """
    return replace(
        relation,
        name=name,
        image=image,
        inputs=(*relation.inputs, *also),
        formula=f"{relation.formula} ({said})",
        exact=False,
        fallback=False,
        leaves_open=lambda box, setting: (  # noqa: ARG005
            f"it does not follow under {relation.formula}; it could if {said}"
        ),
        unless=unless,
        about_interval=about_interval,
    )


def row_df(box: Box) -> Interval | None:
    """Return the degrees of freedom printed in the row."""
    return box["df"]


def no_df(_: Box) -> None:
    """Return ``None``: the statistic is read against the normal distribution."""


def any_df(_: Box) -> Interval:
    """Return all degrees of freedom: a t whose df are not printed."""
    return Interval(1.0, np.inf)


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
