"""The command `unfreeze predict`, as it is installed."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import INSTALLED, PROJECT
from tests.serving.golden import write_golden
from tests.serving.packed import draw_image, pack_small
from unfreeze.cli.main import main
from unfreeze.serving.classifier import Classifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_small(tmp_path_factory.mktemp("packed"))


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack_small(tmp_path_factory.mktemp("calibrated"), seed=1, calibration=True)


def predict(
    folder: Path, *arguments: str | Path, text: str | None = None, before: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f'{before} exec unfreeze predict "$@"', "predict", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PATH": INSTALLED},
        input=text,
        capture_output=True,
        text=True,
    )


def refuse(*arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["predict", *map(str, arguments)])
    message = str(ended.value)
    assert message.startswith("error: ") and "\n" not in message
    return message


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_kind_of_image_gets_the_probabilities_of_the_pixels_that_training_sees(
    packed: Path, tmp_path: Path
) -> None:
    golden = tmp_path / "golden"
    images = write_golden(golden)
    (golden / "bad.jpg").write_bytes((golden / "grey.jpg").read_bytes()[:300])
    done = predict(tmp_path, "golden", "--model", packed, "--out", "rows.csv", "--sheet", "sheet.png")
    assert done.returncode == 3
    assert "1 images could not be read; their rows say why" in done.stderr
    rows = read(tmp_path / "rows.csv")
    assert [row["source"] for row in rows] == [f"golden/{path.name}" for path in sorted(golden.iterdir())]
    (bad,) = [row for row in rows if not row["predicted"]]
    assert (bad["source"], bad["accepted"], bool(bad["reason"])) == ("golden/bad.jpg", "false", True)
    good = [row for row in rows if row is not bad]
    assert len(good) == len(images)
    classifier = Classifier(packed)
    pixels = [classifier.load(tmp_path / row["source"]) for row in good]
    assert len({each.tobytes() for each in pixels}) > 20
    answers = list(classifier.classify(each[None] for each in pixels))
    expected = np.concatenate([each.probabilities for each in answers])
    found = [[float(row[f"probability_{name}"]) for name in classifier.classes] for row in good]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert [row["reason"] for row in good] == [reason for each in answers for reason in each.reasons]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["golden", "rows.csv", "sheet.png"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(140):
        draw_image("green", number).save(folder / f"{number:03}.png")
    return folder


def test_a_killed_run_goes_on_where_it_was(packed: Path, photos: Path, tmp_path: Path) -> None:
    names = "".join(f"{path}\n" for path in sorted(photos.iterdir()))
    command = ["unfreeze", "predict", "-", "--model", packed, "--out", "rows.csv"]
    environment = {**os.environ, "PATH": INSTALLED}
    journal = tmp_path / ".predicting-rows.csv.jsonl"
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin is not None
        # The rest never comes, so it is in the middle when it is killed.
        process.stdin.write("".join(names.splitlines(keepends=True)[:120]))
        process.stdin.flush()
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 20):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "rows.csv").exists()
    # Rows that are computed again would not say so.
    lines = journal.read_text().splitlines(keepends=True)
    row = json.loads(lines[3])
    lines[3] = json.dumps({**row, "reason": "of the first run"}) + "\n"
    journal.write_text("".join(lines[:20]) + lines[20][:9])
    done = predict(tmp_path, "-", "--model", packed, "--out", "rows.csv", text=names)
    assert done.returncode == 0, done.stderr
    assert "140 images, 19 of them kept from an earlier run" in done.stderr
    rows = read(tmp_path / "rows.csv")
    assert [row["source"] for row in rows] == names.splitlines()
    assert [number for number, row in enumerate(rows) if row["reason"] == "of the first run"] == [2]
    assert not journal.exists()
    main(["predict", str(photos), "--model", str(packed), "--out", str(tmp_path / "whole.csv")])
    whole = read(tmp_path / "whole.csv")
    assert [row["probability_red"] for row in rows] == [row["probability_red"] for row in whole]


# What a broken codec does to its process, in all processes of the command.
CRASHES = """
import os
from unfreeze.images import decoding
load = decoding.load_rgb
decoding.load_rgb = lambda path, *rest, **more: os.abort() if path.name == "030.png" else load(path, *rest, **more)
"""


def test_an_image_that_crashes_its_codec_is_a_row_of_the_next_run(packed: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CRASHES)
    path = f"export PYTHONPATH={tmp_path}:{PROJECT / 'src'};"
    asked = (f"{photos}/0[0-6]*.png", "--model", packed, "--out", "rows.csv")
    assert predict(tmp_path, *asked, before=path).returncode == -signal.SIGABRT
    assert not (tmp_path / "rows.csv").exists()
    done = predict(tmp_path, *asked, before=path)
    assert done.returncode == 3, done.stderr
    rows = read(tmp_path / "rows.csv")
    assert len(rows) == 70
    assert [row["reason"] for row in rows if not row["predicted"]] == ["it ends its process by SIGABRT"]


def test_a_full_disk_leaves_rows_to_go_on_from_and_no_file_that_looks_whole(
    packed: Path, photos: Path, tmp_path: Path
) -> None:
    # 12 KB: less than the rows need.
    done = predict(tmp_path, photos, "--model", packed, "--out", "rows.jsonl", before="ulimit -f 12;")
    assert done.returncode == 1
    assert "error: no space left to write rows.jsonl: free some and run the same command again" in done.stderr
    assert not (tmp_path / "rows.jsonl").exists()
    done = predict(tmp_path, photos, "--model", packed, "--out", "rows.jsonl")
    assert done.returncode == 0 and "kept from an earlier run" in done.stderr
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 140


def test_lines_of_json_go_to_a_pipe_and_its_reader_may_leave(
    packed: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["predict", str(photos / "000.png"), "--model", str(packed), "--top", "2"])
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert row["source"] == str(photos / "000.png")
    assert list(row["probabilities"].values()) == sorted(row["probabilities"].values(), reverse=True)
    assert len(row["probabilities"]) == 2
    left = predict(tmp_path, photos, "--model", packed, before="exec > >(head -1 >seen);")
    assert left.returncode == 0 and "Traceback" not in left.stderr


def test_overlays_of_grad_cam_are_written(
    packed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(photos / "001.png", "one.png")
    Path("bad.png").write_bytes(b"")
    asked = ["bad.png", "one.png", "--model", str(packed), "--explain", "heat", "--sheet", "sheet.png"]
    with pytest.raises(SystemExit) as ended:
        main(["predict", *asked])
    assert ended.value.code == 3
    assert [path.name for path in (tmp_path / "heat").iterdir()] == ["000002_one.png"]
    classifier = Classifier(packed)
    with Image.open(tmp_path / "heat/000002_one.png") as overlay:
        assert overlay.size == (classifier.model.size,) * 2
        assert not np.array_equal(np.asarray(overlay), classifier.load(tmp_path / "one.png"))


def test_grad_cam_needs_the_network_that_was_packed(
    packed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A checkout around the working folder may have such a model.
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(packed, tmp_path / "packed/from_scratch")
    asked = (photos / "000.png", "--model", folder, "--explain", tmp_path / "heat")
    assert "there is no " in refuse(*asked)
    (tmp_path / "from_scratch.keras").write_bytes(b"another one")
    assert "has another digest" in refuse(*asked)
    assert not (tmp_path / "heat").exists()


def test_grad_cam_of_a_registered_version_takes_the_network_of_the_checkout(
    packed: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(packed, tmp_path / "registered/unfreeze/3")
    (tmp_path / "models").mkdir()
    shutil.copy(packed.parents[1] / "from_scratch.keras", tmp_path / "models")
    main(["predict", str(photos / "000.png"), "--model", str(folder), "--explain", str(tmp_path / "heat")])
    assert (tmp_path / "heat/000001_000.png").exists()


def test_sets_are_those_of_the_calibration_fold(calibrated: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    main(["predict", str(photos / "000.png"), "--model", str(calibrated), "--sets", "0.5", "--out", str(out)])
    row = json.loads(out.read_text())
    scores = np.sort(Classifier(calibrated).reference.scores)
    quantile = scores[int(np.ceil((len(scores) + 1) * 0.5)) - 1]
    assert row["predicted"] in row["set"]
    assert set(row["set"]) - {row["predicted"]} == {
        name for name, value in row["probabilities"].items() if 1 - value <= quantile and name != row["predicted"]
    }


def test_bad_input_is_one_line_before_any_work(
    packed: Path, calibrated: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    image, model = photos / "000.png", ("--model", packed)
    assert "there is no model yet" in refuse(image)
    assert "no model resnet9000" in refuse(image, "--model", "resnet9000")
    (tmp_path / "empty").mkdir()
    assert "empty holds no images" in refuse("empty", *model)
    assert "suffix '.xlsx'" in refuse(image, *model, "--out", "rows.xlsx")
    assert "suffix '.jpg', expected .png" in refuse(image, *model, "--sheet", "sheet.jpg")
    for option in (("--out", image / "rows.csv"), ("--sheet", image / "sheet.png"), ("--explain", image / "heat")):
        said = refuse(image, *model, *option)
        assert f"{option[0]}: nothing can be written into {image} (Not a directory): name another place" in said
    assert "split.calibration" in refuse(image, *model, "--sets", "0.95")
    assert "--sets is 95" in refuse(image, "--model", calibrated, "--sets", "95")
    assert "--top is 0" in refuse(image, *model, "--top", "0")
    main(["predict", str(image), "--model", str(packed), "--out", "rows.csv"])
    before = (tmp_path / "rows.csv").read_bytes()
    assert "rows.csv holds predictions of model" in refuse(image, "--model", calibrated, "--out", "rows.csv")
    damaged = shutil.copytree(packed, tmp_path / "damaged")
    for name in ("reference.npz", "model.xml"):
        data = (damaged / name).read_bytes()
        (damaged / name).write_bytes(data[: len(data) // 2])
        assert name in refuse(image, "--model", damaged, "--out", "rows.csv")
        (damaged / name).write_bytes(data)
    assert (tmp_path / "rows.csv").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "empty", "rows.csv"]
