"""The benchmark against fastai and timm, but for what runs on PyTorch."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from benchmarks import measure, pages, pipeline
from benchmarks.inputs import Case, Inputs
from benchmarks.peers import environment, export, full_depth, lines, ours, page, summary, variants
from benchmarks.peers.__main__ import RESULTS, _write_correct
from benchmarks.peers.pytorch.task import holds

from tests.conftest import PROJECT
from unfreeze.paths import Paths
from unfreeze.runtime.processor_kind import ProcessorKind
from unfreeze.settings.params import load

CASE = Case("mobilenetv2", "MobileNetV2", "auto", None, "float32", 1)


def run_of(seconds: float, correct: str, *, epoch: float = 1.0, peak: float = 1000.0) -> dict[str, Any]:
    return {
        "commit": "abc", "seconds": seconds, "epoch_seconds": epoch, "peak_mb": peak,
        "accuracy": correct.count("1") / len(correct), "correct": correct,
    }  # fmt: skip


RUNS: dict[str, Any] = {
    "backbone": "xception", "point": "all", "precision": "bfloat16", "floor": 1.5,
    "ours": [run_of(90, "1" * 20, epoch=4.0), run_of(50, "1" * 20, epoch=5.0), run_of(100, "1" * 20, epoch=9.0)],
    "fastai": [run_of(seconds, "1" * 10 + "0" * 10, epoch=20.0, peak=2000.0) for seconds in (300, 200, 100)],
    "timm": [run_of(180, correct, epoch=30.0) for correct in ("0" * 20, "1" * 19 + "0", "1" * 20)],
}  # fmt: skip
KIND: dict[str, Any] = {
    "images": "cats", "machine": {"processor": "one, 2 cores", "system": "Linux", "packages": "keras 3"},
    "peers": {"torch": "2", "timm": "1"}, "load": "0.1, 0.2, 0.3", "epochs": 5, "labels": " ".join("01" * 10),
    "ported": {"xception": 2.9e-6}, "runs": {"xception all bfloat16": RUNS},
    "full_depth": {"vgg16 float32": {"ours": [30, 10, 20], "inference": [9, 9, 1], "training": [10, 10, 1]}},
}  # fmt: skip
LABELS = np.array([0, 1] * 10)


def test_medians_are_compared_with_the_faster_peer() -> None:
    row = summary.summarize_variant(RUNS, LABELS)
    assert (row["runs"], row["faster"]) == (3, "timm")
    assert row["ratio"] == 180 / 90
    # fastai's epochs are faster, though its runs are not.
    assert row["epoch_ratio"] == 20 / 5
    assert row["medians"]["fastai"]["peak_mb"] == 2000


def test_accuracies_are_compared_image_by_image() -> None:
    row = summary.summarize_variant(RUNS, LABELS)
    gap = row["differences"]["fastai"]
    assert gap["value"] == 0.5
    assert 0.1 < gap["low"] < 0.5 < gap["high"] < 0.9
    # Ten images that one alone has right: 2 / 2 ** 10.
    assert gap["p_value"] == pytest.approx(2**-9)
    # timm's run of the median accuracy lacks the last image.
    assert row["differences"]["timm"]["value"] == pytest.approx(0.05)
    assert row["differences"]["timm"]["p_value"] == 1
    swapped = summary.compare(np.array([True, False] * 10), np.array([True, True] * 10), LABELS)
    assert swapped["value"] == -0.5


def test_the_run_of_the_median_accuracy_is_the_lower_one_of_two() -> None:
    runs = [run_of(1, "11"), run_of(1, "10")]
    assert summary.find_typical(runs).tolist() == [True, False]
    assert summary.find_typical([*runs, run_of(1, "00")]).tolist() == [True, False]


def test_the_opponent_of_a_step_is_the_faster_mode_of_pytorch() -> None:
    runs = KIND["full_depth"]["vgg16 float32"]
    assert full_depth.compare(runs) == {"ours": 20, "inference": 9, "training": 10, "ratio": 2}
    assert full_depth.compare({**runs, "inference": [40, 40, 1]})["ratio"] == 0.5


def test_a_side_that_has_no_run_yet_is_not_shown() -> None:
    assert summary.summarize({**KIND, "runs": {"x": {**RUNS, "timm": []}}})["variants"] == []


def test_each_kind_of_processor_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "peers.md")
    other = {**KIND, "machine": {**KIND["machine"], "processor": "another, 64 cores"}, "runs": {}, "full_depth": {}}
    pages.keep_of_kind(tmp_path / "peers.json", KIND)
    page.write(pages.keep_of_kind(tmp_path / "peers.json", other))
    assert set(json.loads((tmp_path / "peers.json").read_text())) == {"one, 2 cores", "another, 64 cores"}
    text = (tmp_path / "peers.md").read_text()
    assert text.index("## another, 64 cores") < text.index("## one, 2 cores")
    assert "| xception | all | bfloat16 | 3 | 90 | 200 | 180 | 2.00 (timm) | 1.5 |" in text
    assert "| xception | all | bfloat16 | 5.0 | 20.0 | 30.0 | 4.00 | 1000 | 2000 | 1000 |" in text
    assert "| xception | all | bfloat16 | 1.0000 | 0.5000 | 0.9500 | +0.5000 (+0." in text
    assert "| vgg16 float32 | 3 | 20.0 | 9.0 | 10.0 | 2.00 | 1.0 |" in text
    assert "xception 2.9e-06." in text
    # Rows of one table follow each other.
    assert not [block for block in text.split("\n\n") if block.startswith("|") and not block.splitlines()[1:]]


def test_the_committed_page_is_that_of_the_committed_measurements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = page.PAGE.read_text()
    monkeypatch.setattr(page, "PAGE", tmp_path / "peers.md")
    of_kinds = json.loads(RESULTS.read_text())
    page.write([of_kinds[kind] for kind in sorted(of_kinds)])
    assert (tmp_path / "peers.md").read_text() == committed


SCRIPT = '''"""A script."""

import x

# A reason.
class A:
    """A class."""

    def go(self):  # noqa: D102
        """Do it.

        At length.
        """
        text = """two
lines"""
        self.note()  # measured
        return call(
            text,
        )
'''


def test_lines_of_code_are_counted() -> None:
    # import, class, def, two of the text, three of the call.
    assert lines.count(SCRIPT) == 8
    assert lines.count(SCRIPT.replace("  # measured", "")) == 9
    assert lines.count("") == 0


def test_each_sides_lines_are_counted() -> None:
    counts = page.count_lines()
    settings = ours.list_settings(CASE, Path("images"), 5)
    assert counts["ours"] == 1 + len(settings)
    # None is there twice, to be overwritten.
    assert len({setting.partition("=")[0] for setting in settings}) == len(settings)
    assert 20 < counts["fastai"] < counts["timm"] < 120


def test_a_correct_image_is_a_digit_at_its_place() -> None:
    table = pd.DataFrame({"path": list("dcba"), "label": list("yxyx"), "fold": ["test", "train", "test", "test"]})
    split = ours.Split(Path("split.csv"), table)
    assert (split.test, split.labels) == (["a", "b", "d"], [0, 1, 1])
    assert _write_correct({"d": True, "a": True, "b": False}, split) == "101"
    with pytest.raises(RuntimeError, match="2 test images were classified, not the 3"):
        _write_correct({"d": True, "a": True}, split)


def test_a_finished_run_says_which_images_are_right(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    paths.predictions("mobilenetv2").parent.mkdir(parents=True)
    rows = ["id,label,predicted,correct,p_x,p_y", "a.jpg,x,x,True,0.9,0.1", "b.jpg,x,y,False,0.2,0.8"]
    paths.predictions("mobilenetv2").write_text("\n".join(rows) + "\n")
    assert ours.read_correct(paths, CASE) == {"a.jpg": True, "b.jpg": False}


def test_the_settings_of_a_run_are_those_of_its_variant(tmp_path: Path) -> None:
    case = Case("mobilenetv2", "MobileNetV2", "all", None, "bfloat16", 1)
    (tmp_path / "conf").symlink_to(PROJECT / "conf")
    pipeline.compose(Paths(tmp_path), ours.list_settings(case, tmp_path, 2))
    params = load(tmp_path / "params.yaml")
    assert (params.unfreeze.point.get(case.name), params.train.precision) == ("all", "bfloat16")
    assert params.train.head.get(case.name).epochs == params.train.finetune.get(case.name).epochs == 2


def test_every_backbone_is_measured_from_both_points() -> None:
    given = Inputs("cats", Path(), Path(), [], [CASE])
    two = variants.list_variants(given, ("float32", "bfloat16"))
    assert [variants.title(case) for case in two] == [
        f"{name} {point} {precision}"
        for name in ("mobilenetv2", "resnet50")
        for point in ("auto", "all")
        for precision in ("float32", "bfloat16")
    ]
    assert {(case.point, case.floor) for case in two} == {("auto", 2.0), ("all", 1.2)}


def test_bfloat16_is_measured_where_the_processor_has_it() -> None:
    assert variants.list_precisions(ProcessorKind("old", ("avx2", "avx512f"))) == ("float32",)
    assert variants.list_precisions(ProcessorKind("new", ("avx512_bf16",))) == ("float32", "bfloat16")


def test_limited_instructions_are_a_kind_of_processor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure.machine()["processor"]
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")

    assert measure.machine()["processor"] == f"{whole}, ONEDNN_MAX_CPU_ISA=AVX2"
    assert variants.list_precisions(ProcessorKind("new", ("avx512_bf16",))) == ("float32",)


def test_a_parameter_belongs_to_its_module_alone() -> None:
    assert holds(["blocks.1"], "model.blocks.1.weight")
    assert holds(["blocks.1"], "blocks.1.bn.bias")
    assert not holds(["blocks.1"], "blocks.11.weight")
    assert not holds(["bn1"], "skipbn1.weight")
    assert not holds([], "blocks.1.weight")


def test_the_result_of_a_process_is_its_last_json() -> None:
    shown = ["{not this}", '{"a": 1}', "a bar |###| 100%", '{"a": 2}', "goodbye"]
    assert measure.read_result(measure.Run(1.0, 1.0, 1.0, [(0.0, line) for line in shown])) == {"a": 2}


@pytest.mark.parametrize(("line", "found"), [("5 of 5, 12 s", ("5", "12")), ("1 of 15, 3 s", None)])
def test_the_end_of_training_is_found_whatever_the_epochs(line: str, found: tuple[str, str] | None) -> None:
    match = pipeline.TRAINED.search(f"INFO fine-tuning: {line} gone")
    assert (match and match.groups()) == found


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "benchmarks/peers/pytorch").glob("*.py")), ids=lambda path: path.name
)
def test_what_the_peers_python_runs_needs_nothing_of_this_project(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not {name.split(".")[0] for name in names} & {"unfreeze", "tensorflow", "keras", "tests"}
    of_benchmarks = {name for name in names if name.startswith("benchmarks")}
    assert all(name.startswith("benchmarks.peers.pytorch.") for name in of_benchmarks)


def test_the_peers_are_pinned_and_no_index_is_named() -> None:
    pinned = [line for line in environment.PACKAGES.read_text().splitlines() if not line.startswith("#")]
    assert {line.partition("==")[0] for line in pinned} == {"fastai", "timm", "torch", "torchvision"}
    assert all(line.partition("==")[2] for line in pinned)


def test_versions_are_those_of_the_environment(tmp_path: Path) -> None:
    (tmp_path / "packages.txt").write_text("# A reason.\nnumpy==0.1\n")
    versions = environment.find_versions(Path(sys.executable), tmp_path / "packages.txt")
    assert versions == {"numpy": np.__version__}


@pytest.mark.slow
def test_the_environment_is_made_once_for_a_list_of_packages(tmp_path: Path) -> None:
    packages, folder = tmp_path / "packages.txt", tmp_path / "environment"
    packages.write_text("# None.\n")
    python = environment.make(folder, packages)
    prefix = subprocess.run(
        [python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert Path(prefix.stdout.strip()) == folder
    (folder / "mark").touch()
    environment.make(folder, packages)
    assert (folder / "mark").exists()
    packages.write_text("# Others.\n")
    environment.make(folder, packages)
    assert not (folder / "mark").exists()


def test_a_backbone_is_written_for_the_port(tmp_path: Path) -> None:
    export.main("mobilenetv2", "random", "32", str(tmp_path))
    about, arrays = json.loads((tmp_path / "mobilenetv2.json").read_text()), np.load(tmp_path / "mobilenetv2.npz")
    assert (about["scaling"], about["point"]) == ("tf", "block_16_expand")
    layers = {layer["name"]: layer for layer in about["layers"]}
    assert layers["Conv1"] == {"name": "Conv1", "kind": "convolution", "trained": False}
    assert layers["block_16_expand"]["trained"] and not layers["block_15_project_BN"]["trained"]
    assert (layers["block_16_depthwise"]["kind"], layers["Conv_1_bn"]["kind"]) == ("depthwise", "norm")
    assert arrays["pixels"].shape == (4, 32, 32, 3) and arrays["features"].shape == (4, 1, 1, 1280)
    assert len([key for key in arrays if key.startswith("Conv_1_bn/")]) == 4


@pytest.mark.slow
def test_a_step_of_this_project_is_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.peers.step", "mobilenetv2", "float32", "32", "4", "2", "3"]
    rates = measure.read_result(measure.run(command, folder=PROJECT))["images_per_second"]
    assert len(rates) == 3
    assert min(rates) > 0
