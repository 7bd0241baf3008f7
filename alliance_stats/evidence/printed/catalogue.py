"""The relations between printed numbers that the package can check."""

from collections.abc import Mapping
from types import MappingProxyType

from alliance_stats.evidence.printed import (
    correlation_relations,
    count_relations,
    mean_relations,
    ratio_relations,
    standardised_relations,
    tail_relations,
    wald_relations,
)
from alliance_stats.evidence.printed.relation import Relation

__all__ = ["CATALOGUE", "YIELDING"]

CATALOGUE: Mapping[str, Relation] = MappingProxyType(
    {
        relation.name: relation
        for room in (
            tail_relations, wald_relations, correlation_relations, mean_relations,
            standardised_relations, ratio_relations, count_relations,
        )
        for relation in room.RELATIONS
    }
)  # fmt: skip

# quantity -> the relations that yield it
YIELDING: Mapping[str, tuple[Relation, ...]] = MappingProxyType(
    {
        target: tuple(relation for relation in CATALOGUE.values() if relation.target == target)
        for target in {relation.target for relation in CATALOGUE.values()}
    }
)
