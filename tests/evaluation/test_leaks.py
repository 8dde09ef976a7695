import numpy as np
import pandas as pd

from unfreeze.evaluation import leaks

MANIFEST = pd.DataFrame(
    {"path": list("abcdef"), "verdict": ["ok"] * 5 + ["unreadable"], "cluster": [0, 0, 1, 2, 2, 3]}
)


def test_test_images_with_a_copy_elsewhere_are_found() -> None:
    assert leaks.find_leaked(pd.Series(["b", "c", "d"]), MANIFEST).tolist() == [True, False, True]
    # Both images of cluster 2 are tested, so neither leaks.
    assert leaks.find_leaked(pd.Series(["c", "d", "e"]), MANIFEST).tolist() == [False, False, False]


def test_a_score_on_copies_comes_with_the_score_without_them() -> None:
    correct, labels = np.array([True] * 30 + [False] * 10), np.arange(40) % 2
    leaked = np.arange(40) < 20
    leak = leaks.score_without(correct, labels, leaked, seed=0)
    assert leak is not None
    assert leak.images == 20
    assert leak.accuracy_without is not None
    assert leak.accuracy_without.value == 0.5
    (finding,) = leaks.describe_leak("xception", 0.75, 40, leak)
    assert "20 of 40 test images have copies in other folds: accuracy 75.0% with them, 50.0% (" in finding.what


def test_without_copies_nothing_is_told() -> None:
    assert leaks.score_without(np.ones(3, bool), np.zeros(3, int), np.zeros(3, bool), seed=0) is None
    assert leaks.describe_leak("xception", 1.0, 3, None) == []


def test_a_fold_of_nothing_but_copies_has_no_score_without_them() -> None:
    leak = leaks.score_without(np.ones(3, bool), np.zeros(3, int), np.ones(3, bool), seed=0)
    assert leak is not None
    assert leak.accuracy_without is None
    assert "no test image is left" in leaks.describe_leak("xception", 1.0, 3, leak)[0].what
