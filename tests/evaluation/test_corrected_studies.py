import numpy as np
import pandas as pd
import pytest

from unfreeze.evaluation import corrected_studies, intervals
from unfreeze.records.corrections import StoredStudy, StudyRecord

LABELS = ["cat", "dog"] * 50


def record(corrections: set[str], *, source: str = "s", table: pd.DataFrame | None = None) -> StudyRecord:
    if table is None:
        table = fold(LABELS, LABELS)
    return StudyRecord.of(table, data="pets", source=source, settings="x", corrections=corrections)


def fold(labels: list[str], predicted: list[str]) -> pd.DataFrame:
    paths = [f'class, "{number}"' for number in range(len(labels))]
    return pd.DataFrame({"path": paths, "sha256": paths, "label": labels, "predicted xception": predicted})


def test_a_record_gives_its_table_back() -> None:
    table = fold(["NA", "007", "a\n b", 'c"'], ["x", "y", "z", ""])
    pd.testing.assert_frame_equal(record(set(), table=table).table, table)


def test_the_earlier_study_is_the_latest_with_fewer_corrections() -> None:
    none, one, two, other = record(set()), record({"a"}), record({"a", "b dog"}), record({"c"})
    find = corrected_studies.find_earlier
    assert find(None, one) is None
    assert find(StoredStudy(**dict(none)), none) is None
    assert find(StoredStudy(**dict(none)), one) == StoredStudy(**dict(none))
    # Run again: it compares with the same study.
    assert find(StoredStudy(**dict(one), earlier=none), one) == none
    stored = find(StoredStudy(**dict(one), earlier=none), two)
    assert stored is not None and stored.corrections == ("a",)
    assert find(StoredStudy(**dict(one), earlier=none), other) == none
    assert find(StoredStudy(**dict(two)), one) is None
    assert find(StoredStudy(**dict(none)), record({"a"}, source="other")) is None


def test_a_study_that_is_stored_does_not_hold_all_studies_before_it() -> None:
    one = StoredStudy(**dict(record({"a"})), earlier=record(set()))
    found = corrected_studies.find_earlier(one, record({"a", "b"}))
    assert "earlier" not in StoredStudy(**dict(record({"a", "b"})), earlier=found).to_json()["earlier"]


def test_both_models_are_scored_on_the_same_images_by_the_labels_of_now() -> None:
    rng = np.random.default_rng(0)
    before = fold(LABELS, list(np.where(rng.random(100) < 0.3, "dog", LABELS)))
    labels = ["dog", *LABELS[1:90]]
    now = fold(labels, list(np.where(rng.random(90) < 0.1, "cat", labels)))
    # The same path with other bytes is another image.
    now.loc[5, "sha256"] = "changed"
    found = corrected_studies.compare(record(set(), table=before), record({"a dog"}, table=now), seed=0)
    kept = [number for number in range(90) if number != 5]
    by_now = np.array(labels)[kept]
    right_before = before["predicted xception"].to_numpy()[kept] == by_now
    right_now = now["predicted xception"].to_numpy()[kept] == by_now
    assert (found.images, found.relabelled, found.earlier_corrections, found.same_settings) == (89, 1, 0, True)
    (effect,) = found.effects
    assert effect.now == pytest.approx(right_now.mean())
    assert effect.earlier == pytest.approx(right_before.mean())
    assert effect.earlier_by_old_labels == pytest.approx(
        (before["predicted xception"][kept] == before["label"][kept]).mean()
    )
    expected = intervals.estimate_difference((by_now == "dog").astype(int), right_now, right_before, seed=0)
    assert effect.difference == expected


def test_folds_without_a_common_image_or_backbone_have_no_effect() -> None:
    before = record(set())
    elsewhere = record({"a"}, table=fold(LABELS, LABELS).assign(path="x"))
    assert corrected_studies.compare(before, elsewhere, seed=0).effects == ()
    other = record({"a"}, table=fold(LABELS, LABELS).rename(columns={"predicted xception": "predicted vgg16"}))
    found = corrected_studies.compare(before, other, seed=0)
    assert (found.images, found.effects) == (100, ())
