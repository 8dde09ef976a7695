import pytest

from tests.report.conftest import NASTY, mistakes, read, verdict
from unfreeze.cli import tables

FOUND = {
    "backbone": "vgg16", "check": "low_recall", "level": "warning", "what": "Half of the dogs are missed.",
    "cause": "[bold]There[/bold] are few.", "remedy": "Add some.",
}  # fmt: skip


def test_the_comparison_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_comparison(read(verdict(findings=[FOUND])))
    shown = capsys.readouterr().out
    assert "Take xception" in shown
    assert "96.0 %" in shown and "94.0 to 98.0" in shown
    assert "from_scratch (baseline)" in shown
    assert "xception is better" in shown
    assert "5 models were evaluated on this test fold" in shown
    assert "warning vgg16: Half of the dogs are missed. Cause: [bold]There[/bold] are few." in shown
    assert max(map(len, shown.splitlines())) <= tables.WIDTH


def test_a_backbone_is_shown_with_its_own_findings(capsys: pytest.CaptureFixture[str]) -> None:
    of = read(verdict(findings=[FOUND]))
    vgg16 = next(row for row in of.rows if row.backbone == "vgg16")
    tables.show_backbone(vgg16, of)
    shown = capsys.readouterr().out
    for told in ("block14_sepconv1", "1.0e-04", "the search", "macro average", "3 seeds", "differs", "Twice the"):
        assert told in shown
    assert "Half of the dogs" in shown
    tables.show_backbone(of.rows[0], of)
    assert "Half of the dogs" not in capsys.readouterr().out


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    of = read(verdict({NASTY: 0.9, "vgg16": 0.8}, classes=["[red]", ":smile:"]))
    tables.show_comparison(of)
    tables.show_backbone(of.rows[0], of)
    tables.show_mistakes("[red]", mistakes(["[red]", ":smile:"]))
    shown = capsys.readouterr().out
    assert NASTY in shown
    assert "Most telling pictures of [red]" in shown
    assert "[red]" in shown and ":smile:/0.png" in shown


def test_mistakes_are_shown_with_their_neighbours(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_mistakes("vgg16", mistakes(["cat", "dog"]))
    shown = capsys.readouterr().out
    assert "98.0 %" in shown
    assert "cat, cat, cat" in shown
    tables.show_mistakes("vgg16", mistakes(["cat", "dog"], count=1).iloc[:0])
    assert "Most telling pictures" in capsys.readouterr().out
