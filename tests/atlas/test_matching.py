"""Are the filters of two networks paired as one would on paper?"""

from itertools import permutations

import numpy as np
import pytest

from interpret_kit.atlas.comparing.matching import cross_correlations, matched

RANDOM = np.random.default_rng(0)


def test_correlations_between_networks_are_those_of_numpy():
    first, second = RANDOM.random((50, 3)), RANDOM.random((50, 4)) ** 2
    expected = np.corrcoef(first.T, second.T)[:3, 3:]
    found = cross_correlations(first.astype(np.float32), second.astype(np.float32))
    assert found == pytest.approx(expected, abs=1e-6)


def test_permuted_and_scaled_filters_are_found_again():
    peaks = RANDOM.random((40, 6)).astype(np.float32)
    order = np.array([3, 0, 5, 1, 4, 2])  # the second's filter k is the first's filter order[k]
    found = matched(peaks, 7 * peaks[:, order])
    assert found.first.tolist() == [0, 1, 2, 3, 4, 5]
    assert order[found.second].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.correlation == pytest.approx(np.ones(6), abs=1e-6)
    assert (found.median, found.counterparts) == (pytest.approx(1, abs=1e-6), 6)
    assert found.by_chance < 0.5


def test_the_pairs_have_the_largest_sum_of_all_assignments():
    first, second = RANDOM.random((12, 4)), RANDOM.random((12, 4))
    table = np.corrcoef(first.T, second.T)[:4, 4:]
    best = max(sum(table[range(4), each]) for each in permutations(range(4)))
    assert matched(first, second).correlation.sum() == pytest.approx(best)


def test_a_dead_filter_has_no_pair_and_no_correlation():
    peaks = RANDOM.random((20, 3)).astype(np.float32)
    dead, biased = peaks.copy(), peaks.copy()
    dead[:, 1], biased[:, 2] = 0, 0.1  # 0.1 is not exact: its mean is
    found = matched(dead, biased)
    assert found.first.tolist() == [0, 2]
    assert found.second.tolist() == [0, 1]
    assert [each.tolist() for each in found.varying] == [[True, False, True], [True, True, False]]
    assert np.isfinite(found.correlation).all()
    assert cross_correlations(dead, biased)[1].tolist() == [0, 0, 0]
    nothing = matched(0 * peaks, peaks)
    assert (len(nothing.first), nothing.median, nothing.by_chance) == (0, 0, 0)


def test_the_larger_network_has_filters_without_a_pair():
    peaks = RANDOM.random((30, 5)).astype(np.float32)
    found = matched(peaks, peaks[:, [4, 1]])
    assert (found.first.tolist(), found.second.tolist()) == ([1, 4], [1, 0])
    again = matched(peaks[:, [4, 1]], peaks)
    assert (again.first.tolist(), again.second.tolist()) == ([0, 1], [4, 1])


def test_one_image_or_opposite_filters_make_no_counterparts():
    peaks = RANDOM.random((30, 1)).astype(np.float32)
    assert matched(peaks, -peaks).counterparts == 0
    assert len(matched(peaks[:1], peaks[:1]).first) == 0
