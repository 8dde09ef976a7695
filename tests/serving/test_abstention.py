import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unfreeze.serving import abstention

SHARES = st.floats(0, 1, width=32)


@given(st.lists(st.tuples(SHARES, st.booleans()), min_size=1, max_size=40), st.floats(0.01, 0.9))
def test_no_more_than_the_error_rate_is_wrong_among_the_accepted(
    answers: list[tuple[float, bool]], rate: float
) -> None:
    confidence, correct = (np.array(part) for part in zip(*answers, strict=True))
    lowest = abstention.find_lowest_confidence(confidence, correct, rate)
    accepted = confidence >= lowest
    assert not accepted.any() or (~correct[accepted]).mean() <= rate + 1e-9
    # No lower threshold would do.
    for lower in np.unique(confidence[confidence < lowest]):
        assert (~correct[confidence >= lower]).mean() > rate - 1e-9


@pytest.mark.parametrize(
    ("confidence", "correct", "lowest"),
    [
        ([0.6, 0.7, 0.9], [True, True, True], 0.0),
        ([0.6, 0.7, 0.9], [False, False, False], abstention.NOTHING_ACCEPTED),
        ([0.6, 0.6, 0.9], [False, True, True], 0.9),
    ],
)
def test_the_lowest_confidence(confidence: list[float], correct: list[bool], lowest: float) -> None:
    assert abstention.find_lowest_confidence(np.array(confidence), np.array(correct), 0.1) == lowest


def test_one_image_in_a_hundred_like_the_training_images_is_refused() -> None:
    random = np.random.default_rng(0)
    shares = [
        (random.normal(size=2000) > abstention.find_farthest_distance(random.normal(size=500), 0.01)).mean()
        for _ in range(50)
    ]
    assert np.mean(shares) == pytest.approx(0.01, abs=0.003)
    assert abstention.find_farthest_distance(np.array([3.0, 1.0]), 0.01) == 3.0


@given(arrays.arrays(np.float32, (7, 3), elements=st.floats(-5, 5, width=32)), st.integers(1, 9))
def test_the_nearest_are_those_of_a_full_sort(features: np.ndarray, count: int) -> None:
    found = abstention.find_nearest(abstention.divide(features), abstention.divide(features[:2]), count)
    normalized = abstention.divide(features).directions
    expected = np.sort(np.clip(1 - normalized[:2] @ normalized.T, 0, 2), axis=1)[:, :count]
    np.testing.assert_allclose(found.distances, expected, atol=1e-6)
    straight = np.sort(np.linalg.norm(features[:2, None] - features, axis=2), axis=1)[:, min(count, 7) - 1]
    np.testing.assert_allclose(found.euclidean, straight, atol=1e-2)


@pytest.mark.parametrize("factor", [0.0, 0.2, 5.0])
def test_features_of_another_length_are_unlike_though_their_direction_is_the_same(factor: float) -> None:
    random = np.random.default_rng(0)
    like = random.normal(size=(600, 8)) + 9
    reference, held_back = abstention.divide(like[:300]), abstention.divide(like[300:])
    cosine, euclidean = abstention.find_limits(abstention.find_nearest(reference, held_back), 0.01)
    found = abstention.find_nearest(reference, abstention.divide(like[300:320] * factor))
    assert (abstention.measure_unlikeness(found, cosine=cosine, euclidean=euclidean) > 1).all()


def test_both_distances_together_refuse_one_in_a_hundred_like_images() -> None:
    random = np.random.default_rng(0)
    shares = []
    for _ in range(20):
        like = abstention.divide(random.normal(size=(1300, 6)) + 2)
        parts = [
            abstention.Vectors(like.directions[part], like.lengths[part])
            for part in np.split(range(1300), [300, 800])
        ]
        reference, held_back, new = parts
        cosine, euclidean = abstention.find_limits(abstention.find_nearest(reference, held_back), 0.01)
        unlikeness = abstention.measure_unlikeness(
            abstention.find_nearest(reference, new), cosine=cosine, euclidean=euclidean
        )
        shares.append((unlikeness > 1).mean())
    assert np.mean(shares) == pytest.approx(0.01, abs=0.004)


def test_images_that_all_lie_on_training_images_give_finite_limits() -> None:
    same = abstention.divide(np.zeros((5, 3)))
    nearest = abstention.find_nearest(same, same)
    cosine, euclidean = abstention.find_limits(nearest, 0.01)
    assert np.isfinite(abstention.measure_unlikeness(nearest, cosine=cosine, euclidean=euclidean)).all()


def test_unlike_comes_before_unsure() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    reasons = abstention.judge(probabilities, np.array([0.2, 0.2, 1.8]), lowest=0.7)
    assert reasons == ["", "unsure", "unlike training"]
