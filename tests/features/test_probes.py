import numpy as np

from unfreeze.features import probes


def test_turned_labels_are_the_most_suspect() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(400) % 2
    features = random.normal(0, 1, (400, 64)).astype("float32")
    features[:, :8] += 1.5 * labels[:, None]
    turned = np.arange(0, 400, 20)
    labels[turned] = 1 - labels[turned]
    probabilities = probes.cross_validate(features, labels, np.arange(400), seed=0)
    table = probes.tabulate_opinions([f"{n}" for n in range(400)], labels, probabilities, ["cat", "dog"])
    assert len(set(table["path"][:40]) & {str(n) for n in turned}) >= 18
    assert table["label_quality"].is_monotonic_increasing
    assert table.loc[0, "label"] != table.loc[0, "opinion"]
    assert (probabilities == probes.cross_validate(features, labels, np.arange(400), seed=0)).all()


def test_a_copy_of_an_image_does_not_vouch_for_its_label() -> None:
    random = np.random.default_rng(1)
    labels = np.arange(200) % 2
    features = random.normal(0, 1, (200, 32)).astype("float32")
    features[:, :4] += 2 * labels[:, None]
    labels[:2] = [1, 0]
    # Both turned images come ten times.
    rows = np.concatenate([np.arange(200), np.repeat([0, 1], 9)])
    probabilities = probes.cross_validate(features[rows], labels[rows], rows, seed=0)
    assert probabilities[np.arange(len(rows)), labels[rows]][[0, 1]].max() < 0.5
