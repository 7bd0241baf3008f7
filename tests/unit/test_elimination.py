"""Both passes over the levels against dense matrices."""

import numpy as np
import pytest

from alliance_stats.engine.blocks import RowArrays, cross_products, lay_out
from alliance_stats.engine.descent import descend
from alliance_stats.engine.elimination import eliminate

# Double precision on matrices of order 300 with condition numbers of a few hundred.
DENSE = 1e-10
N = 300


def _codes(rng):
    therapist = rng.integers(0, 5, N)
    family = np.unique(therapist * 8 + rng.integers(0, 8, N), return_inverse=True)[1]
    person = np.unique(family * 3 + rng.integers(0, 3, N), return_inverse=True)[1]
    return {
        "therapist": therapist,
        "family": family,
        "person": person,
        "rater": rng.integers(0, 7, N),
        "clinic": rng.integers(0, 3, N),
    }


CASES = [
    (("therapist", "family", "person"), (1, 1, 2)),
    (("person",), (1,)),
    (("family", "therapist"), (3, 2)),
    (("therapist", "family", "person", "rater"), (2, 2, 1, 2)),
    (("rater", "therapist"), (1, 1)),
    (("person", "rater", "clinic"), (2, 3, 1)),
]


@pytest.mark.parametrize(("names", "sizes"), CASES)
def test_against_dense_matrices(names, sizes):
    rng = np.random.default_rng(len(names) + sum(sizes))
    by_name = _codes(rng)
    codes = [by_name[name] for name in names]
    Z = [rng.normal(size=(q, N)) for q in sizes]
    Xy = rng.normal(size=(4, N))
    Lambda = [np.tril(rng.normal(size=(q, q))) for q in sizes]
    layout = lay_out(codes, sizes, N)
    order = layout.order
    rows = RowArrays(
        tuple(Z[level.factor][:, order] for level in layout.levels),
        tuple(Z[f][:, order] for f in layout.crossed),
        tuple(codes[f][order] for f in layout.crossed),
        Xy[:, order],
    )
    up = eliminate(
        layout,
        cross_products(layout, rows),
        [Lambda[level.factor] for level in layout.levels],
        [Lambda[f] for f in layout.crossed],
    )
    wide = []
    V = np.eye(N)
    for code, z, factor in zip(codes, Z, Lambda, strict=True):
        dense = np.zeros((N, len(z), code.max() + 1))
        for j, column in enumerate(z):
            dense[np.arange(N), j, code] = column
        wide.append(dense)
        V += np.einsum("iqk,qr,jrk->ij", dense, factor @ factor.T, dense)
    inverse = np.linalg.inv(V)
    assert up.log_det == pytest.approx(np.linalg.slogdet(V)[1], rel=DENSE)
    np.testing.assert_allclose(up.R, Xy @ inverse @ Xy.T, rtol=DENSE, atol=DENSE)

    down = descend(layout, up)
    found = [
        (level.factor, level.units, post)
        for level, post in zip(layout.levels, down.levels, strict=True)
    ]
    found += [(f, slice(None), post) for f, post in zip(layout.crossed, down.crossed, strict=True)]
    for f, units, post in found:
        D = Lambda[f] @ Lambda[f].T
        own = wide[f][:, :, units]
        H = np.einsum("iqk,ij,rj->qrk", own, inverse, Xy)
        S = np.einsum("iqk,ij,jrk->qrk", own, inverse, own)
        np.testing.assert_allclose(post.H, H, atol=DENSE)
        np.testing.assert_allclose(post.S, S.sum(axis=-1), rtol=DENSE)
        np.testing.assert_allclose(post.B, np.einsum("ij,jrk->irk", D, H), atol=DENSE)
        K = D[:, :, None] - np.einsum("ij,jkn,kl->iln", D, S, D)
        np.testing.assert_allclose(post.K, K, atol=DENSE * 10)


def test_a_chain_is_found_and_the_rest_is_crossed():
    by_name = _codes(np.random.default_rng(3))
    codes = [by_name[n] for n in ("therapist", "rater", "person", "family")]
    layout = lay_out(codes, [1] * 4, N)
    assert [level.factor for level in layout.levels] == [2, 3, 0]
    assert layout.crossed == (1,)
