"""Conformal sets: they hold the right class as often as stated."""

import numpy as np
import pytest

from unfreeze.serving.conformal import choose_sets, find_quantile


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_sets_hold_the_right_class_as_often_as_stated_over_2000_draws(coverage: float) -> None:
    random = np.random.default_rng(7)
    repeats, calibration, images, classes = 2000, 200, 20, 4
    # The model says 3 p / 2 - 1 / 8: its probabilities are wrong, and sets need no right ones.
    truth = random.dirichlet(np.ones(classes), (repeats, calibration + images))
    labels = (truth.cumsum(axis=2) > random.random((*truth.shape[:2], 1))).argmax(axis=2)
    said = np.clip(1.5 * truth - 0.125, 1e-3, None)
    said /= said.sum(axis=2, keepdims=True)
    scores = np.sort(1 - np.take_along_axis(said, labels[..., None], axis=2)[:, :calibration, 0], axis=1)
    covered = [
        choose_sets(said[repeat, calibration:], find_quantile(scores[repeat], coverage))[
            np.arange(images), labels[repeat, calibration:]
        ].mean()
        for repeat in range(repeats)
    ]
    assert np.mean(covered) == pytest.approx(coverage, abs=0.02)


def test_a_set_always_holds_the_predicted_class() -> None:
    assert choose_sets(np.array([[0.4, 0.35, 0.25]]), 0.1).tolist() == [[True, False, False]]


@pytest.mark.parametrize(("images", "quantile"), [(18, 1.0), (19, 0.19), (20, 0.2), (39, 0.38)])
def test_too_few_images_for_the_coverage_give_sets_of_all_classes(images: int, quantile: float) -> None:
    assert find_quantile(np.arange(1, images + 1) / 100, 0.95) == pytest.approx(quantile)
