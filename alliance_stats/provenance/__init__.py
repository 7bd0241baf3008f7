"""Where the numbers of a report came from, and whether they still do."""

from alliance_stats.provenance.log import record
from alliance_stats.provenance.origins import Number, Origin, numbers_from
from alliance_stats.provenance.verification import Verification, verify

__all__ = ["Number", "Origin", "Verification", "numbers_from", "record", "verify"]
