import json
import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.conftest import checkout_with_images, compose, draw
from tests.scenes import draw_frame, draw_scene
from unfreeze import files
from unfreeze.checks import image_check
from unfreeze.cluster.launch import make_cluster
from unfreeze.cluster.shards import Cluster
from unfreeze.errors import UnfreezeError
from unfreeze.paths import Paths
from unfreeze.settings.params import load
from unfreeze.settings.stage_settings import select
from unfreeze.stages import check, split


@pytest.fixture
def paths(tmp_path: Path, make_images: Callable[..., Path]) -> Paths:
    """Return a checkout with twelve images of each of two classes and their index."""
    paths = Paths(tmp_path)
    # Small ones would count as blurred.
    make_images(paths.raw, images=12, side=200)
    index(paths)
    return paths


def index(paths: Paths) -> None:
    images = sorted(path for path in paths.raw.rglob("*") if path.is_file())
    table = pd.DataFrame([(path.relative_to(paths.raw).as_posix(), path.parent.name) for path in images])
    files.write_csv(paths.raw_index, table.set_axis(["path", "label"], axis=1))


def settings(paths: Paths, *overrides: str) -> check.Settings:
    params = compose(paths.params, *overrides)
    image_check.write_settings(paths.image_checks, params.checks.select(image_check.load_image_checks()))
    return select(params, check.Settings)


def open_cluster(paths: Paths) -> Cluster:
    """Return this machine, which has the stage's code."""
    # In a checkout without sources.
    files.write_text(paths.code / "check.txt", "the code")
    return make_cluster(load(paths.params).cluster, paths)


def run(chosen: check.Settings, paths: Paths) -> None:
    """Run the stage on this machine."""
    check.run(chosen, paths, open_cluster(paths))


def waive(paths: Paths, expires: date) -> None:
    text = f'- check: conflicting_labels\n  image: "*"\n  reason: both are right\n  expires: {expires}\n'
    files.write_text(paths.waivers, text)


def test_a_class_without_a_readable_image_counts_as_zero() -> None:
    rows = pd.DataFrame({"path": list("abc"), "label": ["x", "x", "y"], "verdict": ["ok", "ok", "unreadable"]})
    assert check.count_images(rows).to_dict("list") == {
        "label": ["x", "y"], "images": [2, 0], "times_smaller": [1.0, 2.0],
    }  # fmt: skip


def test_good_images_pass_and_leave_a_manifest_and_a_page(paths: Paths) -> None:
    run(settings(paths), paths)
    rows = pd.read_parquet(paths.manifest)
    assert (rows["verdict"] == "ok").all()
    assert rows["cluster"].is_unique
    assert pd.read_csv(paths.findings)["check"].tolist() == []
    text = paths.findings_page.read_text()
    assert "24 images of 2 classes, 24 of them usable." in text
    assert all(json.loads(paths.checks(suite).read_text())["success"] for suite in ("manifest", "classes", "drift"))


@pytest.mark.slow
def test_classes_of_two_takes_each_are_told_and_cannot_be_split(tmp_path: Path) -> None:
    paths, random = Paths(tmp_path), np.random.default_rng(0)
    for take in range(6):
        for number in range(20):
            image = paths.raw / f"class{take // 2}" / f"{take}-{number}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            draw_frame(draw_scene(take), random).save(image, compress_level=0)
    index(paths)
    chosen = settings(paths, "checks.blurry.level=off")
    run(chosen, paths)
    assert pd.read_parquet(paths.manifest)["cluster"].nunique() == 6
    assert pd.read_csv(paths.findings)["check"].value_counts().to_dict() == {"near_duplicates": 120, "takes": 120}
    with pytest.raises(UnfreezeError, match="class 'class0' has 2 different images .*near copies.*other scenes"):
        split.run(select(compose(paths.params), split.Settings), paths)
    assert not paths.split.exists()


def test_one_image_under_two_labels_ends_the_run_and_is_shown_with_both(paths: Paths) -> None:
    shutil.copy(paths.raw / "red/000.png", paths.raw / "blue/other.png")
    index(paths)
    with pytest.raises(
        UnfreezeError, match=r"two labels \(blue/other.png, red/000.png\): decide which label"
    ) as told:
        run(settings(paths), paths)
    assert "\n" not in str(told.value)
    text = paths.findings_page.read_text()
    assert "label blue" in text
    assert "label red" in text
    assert (
        pd.read_parquet(paths.manifest).set_index("path").loc[["blue/other.png", "red/000.png"], "cluster"].nunique()
        == 1
    )

    waive(paths, date.today() + timedelta(1))
    run(settings(paths), paths)
    assert pd.read_csv(paths.findings).query("check == 'conflicting_labels'")["waived"].tolist() == [True, True]
    waive(paths, date.today() - timedelta(1))
    with pytest.raises(UnfreezeError, match=r"expired on .* \(both are right\)"):
        run(settings(paths), paths)


def test_a_bad_file_is_left_out_only_if_that_is_wanted(paths: Paths) -> None:
    (paths.raw / "red/bad.png").write_bytes(b"no image")
    index(paths)
    with pytest.raises(UnfreezeError, match=r"images cannot be read \(red/bad.png\): replace or remove them"):
        run(settings(paths), paths)
    run(settings(paths, "checks.on_bad=quarantine"), paths)
    listed = pd.read_csv(paths.findings).iloc[0]
    assert (listed["check"], listed["path"]) == ("unreadable", "red/bad.png")
    assert listed["detail"]
    assert "no picture" in paths.findings_page.read_text()


def add_odd_files(paths: Paths) -> None:
    """Add files that are no images, images of one pixel, and images of unusual forms."""
    for number in range(3):
        (paths.raw / f"red/page{number}.jpg").write_text("<!DOCTYPE html>\n<html>404</html>")
    (paths.raw / "red/pointer.jpg").write_text("version https://git-lfs.github.com/spec/v1\n")
    # Both of one colour, so that one picture stands under two labels.
    for label in ("red", "blue"):
        Image.new("RGB", (1, 1), "white").save(paths.raw / label / "pixel.png")
    pages = draw((170, 80, 80), 5001, 200), draw((80, 80, 170), 5002, 200)
    pages[0].save(paths.raw / "red/pages.tiff", save_all=True, append_images=pages[1:])
    twelve_bits = np.asarray(draw((90, 90, 90), 5003, 200).convert("L")).astype(np.uint16) * 16
    Image.fromarray(twelve_bits).save(paths.raw / "red/xray.png")
    band = draw((170, 90, 90), 5004, 200)
    band.putalpha(draw((120, 120, 120), 5005, 200).convert("L"))
    band.save(paths.raw / "red/band.png")
    index(paths)


def test_odd_files_are_named_and_left_out_or_used_as_is_said(paths: Paths) -> None:
    add_odd_files(paths)
    with pytest.raises(UnfreezeError) as told:
        run(settings(paths), paths)
    assert "3 x an HTML page: the address gave a page" in str(told.value)
    assert "1 x a Git LFS pointer" in str(told.value)
    assert "too few pixels (blue/pixel.png, red/pixel.png): bring larger ones" in str(told.value)
    assert "\n" not in str(told.value)

    run(settings(paths, "checks.on_bad=quarantine"), paths)
    rows = pd.read_parquet(paths.manifest).set_index("path")
    assert rows["verdict"].value_counts().to_dict() == {"ok": 27, "unreadable": 4, "too_small": 2}
    # As bright as the picture that it was made from.
    assert 80 < rows.loc["red/xray.png", "brightness"] < 100
    listed = pd.read_csv(paths.findings).set_index("path")
    # Nothing else is said of what is left out, such as one picture under two labels.
    assert listed["check"].drop(["red/page0.jpg", "red/page1.jpg", "red/page2.jpg"]).to_dict() == {
        "red/pointer.jpg": "unreadable", "red/pixel.png": "too_small", "blue/pixel.png": "too_small",
        "red/pages.tiff": "several_pictures", "red/xray.png": "partial_range", "red/band.png": "alpha_band",
    }  # fmt: skip
    assert listed["detail"].tail(4).tolist() == [
        "1 x 1 pixels", "picture 1 of 2", "the upper 4 of 16 bits are empty", "100% of pixels partly transparent",
    ]  # fmt: skip
    assert "33 images of 2 classes, 27 of them usable." in paths.findings_page.read_text()


def test_a_size_that_gives_the_label_away_is_told(paths: Paths, caplog: pytest.LogCaptureFixture) -> None:
    for path in (paths.raw / "blue").iterdir():
        with Image.open(path) as picture:
            picture.resize((64, 48)).save(path)
    run(settings(paths), paths)
    result = json.loads(paths.checks("shortcuts").read_text())
    assert result["warnings"] == 1
    with pytest.raises(UnfreezeError, match=r"alone predicts the label \(width, height, aspect"):
        run(settings(paths, "checks.shortcut.level=error"), paths)


def test_groups_of_the_source_are_clusters(paths: Paths) -> None:
    table = pd.read_csv(paths.raw_index)
    files.write_csv(paths.raw_index, table.assign(group=["a", "a", "b"] * 8))
    run(settings(paths), paths)
    assert pd.read_parquet(paths.manifest)["cluster"].nunique() == 2


def test_every_suite_is_told_not_only_the_first(paths: Paths) -> None:
    (paths.raw / "red/bad.png").write_bytes(b"no image")
    index(paths)
    with pytest.raises(UnfreezeError, match=r"images cannot be read .*classes have fewer than 20 readable images"):
        run(settings(paths, "checks.min_images_per_class=20"), paths)


def test_a_set_without_one_readable_image_is_refused_in_one_line(paths: Paths) -> None:
    for path in paths.raw.rglob("*.png"):
        path.write_bytes(b"no image")
    with pytest.raises(UnfreezeError, match=r"fewer than 10 readable images \(blue, red\)"):
        run(settings(paths, "checks.on_bad=quarantine"), paths)


def test_checks_that_are_off_leave_empty_results(paths: Paths) -> None:
    run(settings(paths, "checks.shortcut.level=off", "checks.drift.level=off"), paths)
    assert json.loads(paths.checks("shortcuts").read_text())["expectations"] == []


def correct(paths: Paths, *lines: tuple[str, str, str]) -> None:
    """Write corrections: path, action and label of each."""
    rows = [
        f"{files.hash_file(paths.raw / path)},{action},{label},seen,Ann,2030-01-01" for path, action, label in lines
    ]
    files.write_text(paths.corrections, "\n".join(["sha256,action,label,reason,by,date", *rows]) + "\n")


def inspect(paths: Paths) -> pd.DataFrame:
    """Do all that the stage does but to ask Great Expectations; return what that would judge of single images."""
    judged = {}
    wanted = settings(paths)
    inputs, here = check.Inputs.read(paths), open_cluster(paths)
    check.inspect(wanted, inputs, paths, lambda suite, table, _: judged.update({suite: table}), here)
    return judged["manifest"]


def test_labels_are_corrected_and_images_left_out_with_their_reason(paths: Paths) -> None:
    (paths.raw / "red/bad.png").write_bytes(b"no image")
    index(paths)
    correct(
        paths, ("red/000.png", "relabel", "blue"), ("red/001.png", "exclude", ""), ("red/bad.png", "exclude", ""),
        ("blue/000.png", "relabel", "blue"),
    )  # fmt: skip
    inspect(paths)
    rows = pd.read_parquet(paths.manifest).set_index("path")
    assert rows.loc["red/000.png", ["label", "label_given", "verdict"]].tolist() == ["blue", "red", "ok"]
    assert rows.loc[["red/001.png", "red/bad.png"], "verdict"].tolist() == ["excluded"] * 2
    assert set(rows.loc[rows["verdict"] == "excluded", "reason"]) == {"excluded: seen"}
    assert (rows["label_given"] != "").sum() == 1
    text = paths.findings_page.read_text()
    assert "23 images of 2 classes, 23 of them usable." in text
    assert "Corrections: 1 image relabelled, 2 excluded, 0 kept; 1 corrections no longer fit" in text
    assert "does not fit: the source&#39;s label is blue already" in text


def test_a_conflict_is_solved_by_a_correction_or_kept(paths: Paths) -> None:
    with Image.open(paths.raw / "red/000.png") as picture:
        picture.save(paths.raw / "blue/other.png", compress_level=1)
    index(paths)
    correct(paths, ("blue/other.png", "relabel", "red"))
    assert not inspect(paths)["conflicting_labels"].any()
    assert set(pd.read_csv(paths.findings)["check"]) == {"exact_duplicates"}
    correct(paths, ("blue/other.png", "exclude", ""))
    inspect(paths)
    assert pd.read_csv(paths.findings).empty
    correct(paths, ("blue/other.png", "keep", "blue"), ("red/000.png", "keep", "red"))
    assert not inspect(paths)["conflicting_labels"].any()
    assert pd.read_csv(paths.findings)["waived"].all()
    assert "data-path=" not in paths.findings_page.read_text()
    # The label that was kept is no longer the source's.
    correct(paths, ("blue/other.png", "keep", "red"), ("red/000.png", "keep", "red"))
    judged = inspect(paths)
    assert judged.loc[judged["conflicting_labels"], "path"].tolist() == ["blue/other.png"]


def test_corrections_move_no_cluster_and_a_kept_label_no_byte_of_the_manifest(paths: Paths) -> None:
    shutil.copy(paths.raw / "red/000.png", paths.raw / "red/copy.png")
    index(paths)
    inspect(paths)
    before, content = pd.read_parquet(paths.manifest), paths.manifest.read_bytes()
    correct(paths, ("red/000.png", "keep", "red"))
    inspect(paths)
    assert paths.manifest.read_bytes() == content
    correct(paths, ("red/000.png", "exclude", ""), ("blue/003.png", "relabel", "red"))
    inspect(paths)
    assert pd.read_parquet(paths.manifest)["cluster"].tolist() == before["cluster"].tolist()


def test_what_is_wrong_with_a_correction_is_said_before_any_image_is_measured(paths: Paths) -> None:
    correct(paths, ("red/000.png", "relabel", "grey"))
    with pytest.raises(UnfreezeError, match="gets the label 'grey', which no image of the source has"):
        run(settings(paths), paths)
    files.write_text(paths.corrections, paths.corrections.read_text().replace("relabel", "rename"))
    with pytest.raises(UnfreezeError, match=r"checks/corrections.csv: line 2: action is 'rename'"):
        run(settings(paths), paths)
    assert not paths.manifest.exists()


def test_a_threshold_changes_no_manifest(paths: Paths) -> None:
    run(settings(paths), paths)
    before = paths.manifest.read_bytes()
    run(settings(paths, "checks.blurry.threshold=1e9"), paths)
    assert (pd.read_csv(paths.findings)["check"] == "blurry").sum() == 24
    assert paths.manifest.read_bytes() == before


def test_drift_in_a_shallow_clone_is_that_of_the_whole_history(tmp_path: Path) -> None:
    made = checkout_with_images(tmp_path, 12)
    made.run("dvc", "repro", "check")
    made.commit()
    made.commit()
    clone = made.clone(tmp_path / "clone", "--depth", "1")
    assert clone.run("git", "rev-list", "--count", "HEAD").strip() == "1"
    for number in range(6):
        draw((250, 250, 250), number).save(tmp_path / f"images/red/bright{number}.png")
    for checkout in (made, clone):
        checkout.run("dvc", "repro", "check")
    drift = files.read_json(clone.paths.checks("drift"))
    assert drift["warnings"] == 1
    assert drift == files.read_json(made.paths.checks("drift"))
    first = clone.paths.profile.read_bytes()
    assert first == made.paths.profile.read_bytes()
    # The same images again: the previous version stays the previous one.
    clone.run("dvc", "repro", "--force", "--single-item", "check")
    assert clone.paths.profile.read_bytes() == first
    assert files.read_json(clone.paths.checks("drift")) == drift
