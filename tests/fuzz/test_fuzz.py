"""No call on any frame ends in a library's error, hangs, or changes the caller's settings."""

import pytest

from tests.fuzz.calls import CALLS
from tests.fuzz.driver import one, run

N_CALLS = 5_000
SHARDS = 20  # so that the calls run on several cores


@pytest.mark.parametrize("call", CALLS)
def test_the_plain_frame_is_taken(call: str) -> None:
    outcome = one(call, "as it is", 1)
    assert outcome.kind == "right", outcome.detail


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_mutated_frame_is_right_or_refused(shard: int) -> None:
    each = N_CALLS // SHARDS
    bad = [o for o in run(each, seed=0, skip=shard * each) if o.kind not in {"right", "refused"}]
    assert not bad, "\n".join(f"{o.call} on {o.mutation} ({o.seed}): {o.detail}" for o in bad)
