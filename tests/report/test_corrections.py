from tests.report.conftest import NO_CORRECTIONS, study
from unfreeze.records.corrections import Comparison, Corrections, Counts, Effect
from unfreeze.records.interval import Interval
from unfreeze.report import page, text
from unfreeze.report.corrections import describe_corrections
from unfreeze.report.study import join_report

COUNTS = Counts(relabelled=3, excluded=1, kept=2, unfit=("keep abc...: the image is gone",))
EFFECT = Effect(
    backbone="xception", earlier_by_old_labels=0.8, earlier=0.85, now=0.9,
    difference=Interval(value=0.05, low=0.01, high=0.09), p_value=0.02,
)  # fmt: skip
COMPARISON = Comparison(earlier_corrections=0, same_settings=True, images=500, relabelled=2, effects=(EFFECT,))


def test_without_corrections_the_report_says_nothing_of_them() -> None:
    of = study(corrections=NO_CORRECTIONS)
    assert 'id="corrections"' not in page.build_page(of)
    assert "## Corrections" not in text.format_report(of)


def test_the_report_says_what_the_corrections_changed() -> None:
    of = study(corrections=Corrections(counts=COUNTS, comparison=COMPARISON))
    for shown in (page.build_page(of), text.format_report(of)):
        assert "3 images relabelled, 1 excluded, 2 kept; 1 corrections no longer fit." in shown
        assert "the image is gone" in shown
        assert "on the 500 images in both test folds" in shown
        assert "2 of these had another label then" in shown
        assert "+5.0" in shown and "+1.0 to +9.0" in shown
        assert "not the only reason" not in shown
    assert join_report(of).to_json()["corrections"]["comparison"]["effects"][0]["now"] == 0.9


def test_the_report_is_honest_where_nothing_can_be_compared() -> None:
    def told(comparison: Comparison | None) -> str:
        return " ".join(describe_corrections(Corrections(counts=COUNTS, comparison=comparison)))

    assert "cannot be told: no study of this source without them, or with fewer, is known here" in told(None)
    nothing = COMPARISON.model_copy(update={"images": 0, "effects": ()})
    assert "had no image in its test fold that is in this one" in told(nothing)
    assert "had none of these backbones" in told(COMPARISON.model_copy(update={"effects": ()}))
    assert "not the only reason" in told(COMPARISON.model_copy(update={"same_settings": False}))
