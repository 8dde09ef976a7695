"""What is kept of a stage that ran."""

import os
import time
from pathlib import Path

import pytest

from tests.conftest import compose
from tests.planning.test_forecast import measured
from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.planning import measurements
from unfreeze.planning.machine import name_machine
from unfreeze.planning.measurements import keep, measure_stage, read


def test_a_stage_leaves_what_it_took_and_on_how_much(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    (tmp_path / ".dvc").mkdir()
    params = compose(tmp_path / "params.yaml")
    paths.raw.mkdir(parents=True)
    (paths.raw / "a.png").write_bytes(b"12345")
    paths.raw_index.write_text("path,label\na.png,cat\n")
    with measure_stage(paths, "check", None, params) as tell_begun:
        tell_begun()
        time.sleep(0.05)
    (found,) = read(paths.measurements)
    assert 0 < found.start_seconds < found.seconds - 0.04
    assert (found.stage, found.images, found.raw_bytes, found.machine) == ("check", 1, 5, name_machine())
    assert found.seconds > 0 and found.peak_mb > 1
    assert found.processor_seconds == pytest.approx(sum(os.times()[:4]), rel=0.2)
    assert found.settings["preprocess"] == {"image_size": 160}


def test_images_in_place_count_with_their_size(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    (tmp_path / ".dvc").mkdir()
    files.write_json(paths.in_place, {"root": "/photos"})
    files.write_json(paths.download_record, {"bytes": 5})
    with measure_stage(paths, "check", None, None):
        pass
    assert [found.raw_bytes for found in read(paths.measurements)] == [5]


def test_nothing_is_kept_of_a_stage_that_failed_or_goes_on_from_a_killed_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    (tmp_path / ".dvc").mkdir()
    params = compose(tmp_path / "params.yaml")
    with pytest.raises(RuntimeError), measure_stage(paths, "check", None, params):
        raise RuntimeError
    paths.search_folder("xception").mkdir(parents=True)
    with measure_stage(paths, "search", "xception", params):
        paths.search_folder("xception").rmdir()
    paths.finished_repeats("xception").mkdir(parents=True)
    with measure_stage(paths, "finetune", "xception", params):
        paths.finished_repeats("xception").rmdir()
    assert not paths.measurements.exists()


def test_a_folder_that_cannot_be_written_stops_no_stage_and_none_is_made_where_dvc_is_not(tmp_path: Path) -> None:
    with measure_stage(Paths(tmp_path), "code", None, None):
        pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/tmp").write_text("a file where a folder should be")
    with measure_stage(Paths(tmp_path), "code", None, None):
        pass
    assert read(Paths(tmp_path).measurements) == []


def test_lines_of_another_version_and_half_lines_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / ".dvc/measurements.jsonl"
    file.parent.mkdir()
    file.write_text('{"stage": "check"}\n')
    keep(file, measured())
    with file.open("a") as stream:
        stream.write('{"stage": "ext')
    assert read(file) == [measured()]


def test_a_long_file_forgets_its_oldest_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "MOST_KEPT", 2)
    file = tmp_path / ".dvc/measurements.jsonl"
    file.parent.mkdir()
    for number in range(5):
        keep(file, measured(seconds=float(number)))
    assert [found.seconds for found in read(file)] == [3.0, 4.0]
