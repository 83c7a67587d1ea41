"""Each world explores at a scale of its own, whatever object it has."""

import numpy as np
import pytest

from r2s_algos_common.noise import spread


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
