import json
import re

from tests.report.conftest import NASTY, read, recorded, study, verdict
from unfreeze.report import text
from unfreeze.report.study import join_report

FOUND = {
    "backbone": "vgg16", "check": "below_majority", "level": "error", "what": "It is below the largest class.",
    "cause": "Its weights are random.", "remedy": "Give it weights.",
}  # fmt: skip


def cells(line: str) -> list[str]:
    """Part a line of a Markdown table as a reader of Markdown does."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_the_best_comes_first_with_intervals() -> None:
    written = text.format_results(read(verdict()))
    places = [written.index(f"| {name} |") for name in ("xception", "vgg16", "from_scratch (baseline)")]
    assert places == sorted(places)
    assert "| 96.0 % (94.0 to 98.0) | +21.0 (+19.0 to +23.0) |" in written


def test_what_changes_from_run_to_run_is_not_in_the_table() -> None:
    slow = verdict()
    for one in slow["rows"]:
        one["cost"] |= {"latency_ms": {"1": 999.0}, "training_seconds": 999.0}
    assert text.format_results(read(slow)) == text.format_results(read(verdict()))
    assert "2.30 G" in text.format_results(read(slow))


def test_random_weights_are_marked() -> None:
    of = verdict()
    of["rows"][1]["weights"] = "RANDOM"
    assert "| vgg16 | RANDOM (does not measure transfer) |" in text.format_results(read(of))


def test_the_summary_tells_what_was_measured() -> None:
    told = text.summarise(read(verdict()))
    assert told.startswith("Take xception: no other model is as good.")
    assert "800 test images of cats and dogs at 160 pixels" in told
    assert "majority-class baseline has an accuracy of 50.0 %" in told


def test_the_report_holds_pairs_findings_and_lineage() -> None:
    written = text.format_report(study(verdict(findings=[FOUND])))
    assert "| xception and vgg16 | xception is better | +3.0 (+1.0 to +5.0) |" in written
    assert "no significant difference" not in written
    assert "a difference of 2.0 points is detected with 80 % power" in written
    assert "- **error** vgg16: It is below the largest class. Cause: Its weights are random. Remedy: Give" in written
    assert f"- data: {'f' * 64}" in written
    assert "5 models were evaluated on this test fold, 2 of them before this study." in written


def test_what_rests_on_a_sample_is_said_with_how_many_of_how_many() -> None:
    of = verdict()
    assert "sample" not in text.format_report(study(of))
    assert join_report(study(of)).feature_samples == {}
    of["rows"][0]["feature_sample"] = {"images": 200_000, "of": 812_345}
    written = text.format_report(study(of))
    assert "- xception: Computed from a sample of 200,000 of the 812,345 training and validation images" in written
    assert "vgg16: Computed" not in written
    report = join_report(study(of)).to_json()
    assert report["feature_samples"] == {"xception": {"images": 200_000, "of": 812_345}}


def test_the_report_says_what_each_model_accepts_and_rejects() -> None:
    of = verdict()
    of["rows"][1]["abstention"] |= {"accepted": 0.0, "error": None, "lowest": 1.1}
    written = text.format_report(study(of))
    assert "| xception | 85.0 % | 2.0 % | 0.010 | 1.0 % | 95.0 % | 95.0 % |" in written
    assert "| vgg16 | 0.0 % | – |" in written


def test_a_fold_that_no_other_study_used_is_looked_at_first() -> None:
    of = verdict() | {"test_evaluations": {"models": 3, "earlier": 0}}
    assert "First look at this test fold" in text.format_report(study(of))


def test_no_pair_that_differs_is_said() -> None:
    of = verdict()
    for pair in of["pairs"]:
        pair["significant"] = False
    assert "No two models differ significantly." in text.format_report(study(of))
    assert "Pairs" not in text.format_report(study(verdict({"xception": 0.9})))


def test_errors_come_before_warnings() -> None:
    warned = {**FOUND, "level": "warning", "backbone": None}
    written = text.format_report(study(verdict(findings=[warned, FOUND])))
    assert written.index("**error** vgg16") < written.index("**warning** study")


def test_names_are_no_markup() -> None:
    of = verdict({NASTY: 0.9, "vgg16": 0.8})
    (header, _, first, _) = text.format_results(read(of)).splitlines()
    assert len(cells(first)) == len(cells(header))
    assert cells(first)[0] == text.escape(NASTY)
    assert text.escape("<b> `x` *y* [z](w) | & $1$") == "&lt;b&gt; \\`x\\` \\*y\\* \\[z\\](w) \\| &amp; \\$1\\$"
    assert text.escape("@everyone see https://x.test\n| a |") == "&#64;everyone see https&#58;//x.test \\| a \\|"


def test_plain_names_stay_as_they_are() -> None:
    assert text.escape("from_scratch, block14_sepconv1, 96.4 % (95.0 to 97.6)") == (
        "from_scratch, block14_sepconv1, 96.4 % (95.0 to 97.6)"
    )


def test_missing_numbers_have_a_mark() -> None:
    of = verdict()
    of["rows"][0]["scores"]["macro_f1"] = {"value": None, "low": None, "high": None}
    of["smallest_difference"] = 1.0
    assert "| – |" in text.format_results(read(of))
    assert "80 % power" not in text.format_report(study(of))


def test_the_report_for_programs_refers_to_the_verdict_and_does_not_repeat_it() -> None:
    held = join_report(study()).to_json()
    assert held["links"]["Verdict"] == "../metrics/verdict.json"
    assert not {"rows", "pairs", "classes", "verdict", "findings"} & set(held)


def test_all_of_it_can_be_read_by_programs() -> None:
    held = json.loads(json.dumps(join_report(study()).to_json(), allow_nan=False))
    assert held["costs"]["xception"]["latency_ms"] == {"1": 20.0, "32": 416.0}
    assert held["test_evaluations"] == {"models": 5, "earlier": 2}
    assert held["checks"][0]["suite"] == "manifest"
    assert held["lineage"]["commit"] == "0123abc"


def test_exported_formats_are_a_table_and_those_of_another_model_are_named() -> None:
    of = [recorded("xception", "onnx", "openvino"), recorded("vgg16", "litert", model="b" * 64)]
    written = text.format_report(study(exports=of))
    assert "| xception | onnx | 20.5 | 5.25 | 190 | 2.5e-06 | 95.0 % | 0.750 |" in written
    assert "| xception | openvino | 21.5 |" in written
    assert "litert" not in written
    assert "exports recorded for vgg16 are of another model (sha256 bbbbbbbbbbbb, the reported one is aaaa" in written
    links = join_report(study(exports=of)).links
    assert links["Exported formats of xception"] == "../metrics/export/xception.json"
    assert "Exported formats of vgg16" not in links


def test_a_study_that_was_not_exported_says_nothing_of_formats() -> None:
    assert "Exported" not in text.format_report(study())
