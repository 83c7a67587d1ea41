"""How exploration is spread over the worlds, whatever objects they have."""

import numpy as np
import pytest

from r2s_algos_common.noise import share_of_worlds, spread


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_every_group_of_worlds_explores_timidly_and_boldly(groups):
    scales = np.asarray(spread(252))
    np.testing.assert_allclose(np.sort(scales), np.linspace(0, 1, 252), atol=1e-6)
    for own in scales.reshape(groups, -1):
        assert own.mean() == pytest.approx(0.5, abs=0.03)
        assert own.min() < 0.05
        assert own.max() > 0.95


def test_a_world_alone_is_timid():
    np.testing.assert_array_equal(spread(1), [0.0])


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 63), (0.501, 126), (1.0, 252)])
def test_a_share_of_the_worlds_is_that_of_every_group(share, count):
    chosen = share_of_worlds(252, share)
    assert chosen.sum() == count
    np.testing.assert_allclose(chosen.reshape(6, 42).mean(1), share, atol=0.05)
