"""Interval arithmetic never leaves a value out, and adds little."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from alliance_stats.errors import NotIdentifiedError
from alliance_stats.evidence.printed.correlation_relations import williams_t
from alliance_stats.evidence.printed.relation import Interval, Span, enclose, point

# Of the width of the attained values: correlations printed with two decimals, cells 1/17 of that.
# In 60 random triples the excess was .01 in the median and .2 at most; where the three hardly fit
# together, or the two compared are nearly equal, the attained width is small beside the terms.
MOST_EXCESS = 0.4
PLACES = 9


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 300))
def test_williams_t_is_enclosed_closely(seed: int, n: int) -> None:
    loadings = np.random.default_rng(seed).normal(size=(3, 2))
    sigma = loadings @ loadings.T + 0.5 * np.eye(3)
    scale = np.sqrt(np.diag(sigma))
    correlations = np.round((sigma / np.outer(scale, scale))[[0, 0, 1], [1, 2, 2]], 2)
    box = [Interval(r - 0.005, r + 0.005) for r in correlations]
    assume(all(part.high < 0.97 and part.low > -0.97 for part in box))
    grid = np.meshgrid(*(np.linspace(part.low, part.high, PLACES) for part in box))
    r12, r13, r23 = (places.ravel() for places in grid)
    assume((1 - r12**2 - r13**2 - r23**2 + 2 * r12 * r13 * r23 > 0.01).all())
    values = williams_t(Span(r12, r12), Span(r13, r13), Span(r23, r23), Span(n, n)).low
    found = enclose(williams_t, *box, point(n))
    assert found.low <= values.min()
    assert found.high >= values.max()
    excess = (values.min() - found.low) + (found.high - values.max())
    assert excess <= MOST_EXCESS * (values.max() - values.min())


SPANS = st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(lambda ends: Span(min(ends), max(ends)))


@given(SPANS, SPANS, st.floats(0, 1), st.floats(0, 1))
def test_each_operation_holds_every_value(x: Span, y: Span, s: float, t: float) -> None:
    u, w = x.low + s * (x.high - x.low), y.low + t * (y.high - y.low)
    for span, value in (
        (x + y, u + w),
        (x - y, u - w),
        (1.0 - x, 1.0 - u),
        (x * y, u * w),
        (x.square(), u**2),
        (x.cube(), u**3),
        (x / (y.square() + 1.0), u / (w**2 + 1.0)),
        (x.square().root(), abs(u)),
        (x.at_least(0.0), max(u, 0.0)),
    ):
        assert span.low - 1e-12 <= value <= span.high + 1e-12


def test_a_division_by_what_may_be_zero_is_refused() -> None:
    with pytest.raises(NotIdentifiedError, match="may divide by zero within the printed rounding"):
        Span(1.0, 2.0) / Span(-1.0, 1.0)
