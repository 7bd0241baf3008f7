"""The relations between printed numbers that the package can check."""

from collections.abc import Mapping
from types import MappingProxyType

from alliance_stats.evidence.catalogue import (
    conversions,
    correlations,
    counts,
    means,
    ratios,
    statistics,
    wald,
)
from alliance_stats.evidence.catalogue.core import Box, Relation, Setting

__all__ = ["CATALOGUE", "YIELDING", "Box", "Relation", "Setting"]

CATALOGUE: Mapping[str, Relation] = MappingProxyType(
    {
        relation.name: relation
        for module in (statistics, wald, correlations, means, ratios, conversions, counts)
        for relation in module.RELATIONS
    }
)

# quantity -> the relations that yield it
YIELDING: Mapping[str, tuple[Relation, ...]] = MappingProxyType(
    {
        target: tuple(relation for relation in CATALOGUE.values() if relation.target == target)
        for target in {relation.target for relation in CATALOGUE.values()}
    }
)
