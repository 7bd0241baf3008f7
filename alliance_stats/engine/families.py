"""The families of outcomes and their links, by name."""

from alliance_stats.engine.binomial_families import BINOMIAL
from alliance_stats.engine.count_families import (
    LINEAR_NEGATIVE_BINOMIAL,
    NEGATIVE_BINOMIAL,
    POISSON,
    TRUNCATED_LINEAR_NEGATIVE_BINOMIAL,
    TRUNCATED_NEGATIVE_BINOMIAL,
    TRUNCATED_POISSON,
)
from alliance_stats.engine.outcomes import Family
from alliance_stats.engine.spread_families import BETA, BETA_BINOMIAL, GAMMA

__all__ = ["FAMILIES", "LINKS", "Family", "family_of"]

FAMILIES = (
    *BINOMIAL,
    POISSON,
    NEGATIVE_BINOMIAL,
    LINEAR_NEGATIVE_BINOMIAL,
    TRUNCATED_POISSON,
    TRUNCATED_NEGATIVE_BINOMIAL,
    TRUNCATED_LINEAR_NEGATIVE_BINOMIAL,
    BETA_BINOMIAL,
    GAMMA,
    BETA,
)

LINKS: dict[str, tuple[str, ...]] = {
    name: tuple(family.link for family in FAMILIES if family.name == name)
    for name in dict.fromkeys(family.name for family in FAMILIES)
}
"""Links of each family; the first is its default."""


def family_of(name: str, link: str | None) -> Family:
    """Find a family and link; the first link of a family is its default.

    Raises
    ------
    ValueError
        If there is no such family, or it has no such link.
    """
    if name not in LINKS:
        *others, last = (f"'{each}'" for each in LINKS)
        raise ValueError(f"family must be {', '.join(others)} or {last}; got {name!r}.")
    wanted = LINKS[name][0] if link is None else link
    for family in FAMILIES:
        if (family.name, family.link) == (name, wanted):
            return family
    allowed = ", ".join(f"'{link}'" for link in LINKS[name])
    raise ValueError(f"The {name} family has the links {allowed}; got {link!r}.")
