import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import PROJECT, Checkout
from unfreeze.records.code import WITHOUT_EFFECT, Source

FILES = {
    "src/unfreeze/stages/shrink.py": (
        "from unfreeze import texts\nfrom unfreeze.kinds import registry\nfrom unfreeze.runtime import console\n"
        "def run(settings, paths):\n"
        "    from unfreeze.sizes import HALF\n"
        '    console.log.info("begin")\n'
        "    return texts.shorten(paths, HALF), registry.entries()\n"
    ),
    "src/unfreeze/stages/grow.py": "from unfreeze.sizes import DOUBLE\ndef run(paths):\n    return DOUBLE\n",
    "src/unfreeze/texts.py": (
        "from unfreeze import pages\nfrom unfreeze.notes import Note\n"
        "def shorten(text: Note, size):\n    return pages.fill('page.html.j2', text[:size])\n"
        "def lengthen(text):\n    return text * 2\n"
    ),
    "src/unfreeze/pages.py": "def fill(name, text):\n    return name + text\n",
    "src/unfreeze/notes.py": "class Note:\n    size = 1\n",
    "src/unfreeze/sizes.py": "HALF = 0.5\nDOUBLE = 2\n",
    "src/unfreeze/runtime/console.py": "log = None\n",
    "src/unfreeze/runtime/plugins.py": "def load_entries(kind, package):\n    return kind\n",
    "src/unfreeze/kinds/registry.py": (
        "from unfreeze.runtime.plugins import load_entries\n"
        "ENTRIES = {}\n"
        "def register(function):\n    ENTRIES[function.__name__] = function\n    return function\n"
        'def entries():\n    load_entries("kinds", "unfreeze.kinds.own")\n    return ENTRIES\n'
    ),
    "src/unfreeze/kinds/own/small.py": (
        "from unfreeze.kinds.registry import register\n@register\ndef small():\n    return 1\n"
    ),
    "src/unfreeze/templates/page.html.j2": "{% include 'style.css.j2' %}<p>{{ text }}</p>",
    "src/unfreeze/templates/style.css.j2": "p { margin: 0 }",
    "plugins/kinds/large.py": "SIZE = 9\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def changed_by(root: Path, name: str, old: str, new: str) -> set[str]:
    """Return the stages whose digest an edit changes."""
    before = Source(root).compute_digests()
    path = root / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    after = Source(root).compute_digests()
    return {stage for stage in before if before[stage] != after[stage]}


@pytest.mark.parametrize(
    ("name", "old", "new", "stages"),
    [
        ("src/unfreeze/stages/shrink.py", "return texts", "x = 1\n    return texts", {"shrink"}),
        ("src/unfreeze/sizes.py", "0.5", "0.4", {"shrink"}),
        ("src/unfreeze/sizes.py", "DOUBLE = 2", "DOUBLE = 3", {"grow"}),
        ("src/unfreeze/pages.py", "name + text", "text + name", {"shrink"}),
        ("src/unfreeze/templates/page.html.j2", "<p>", "<b>", {"shrink"}),
        ("src/unfreeze/templates/style.css.j2", "0", "1", {"shrink"}),
        ("src/unfreeze/kinds/own/small.py", "1", "2", {"shrink"}),
        ("plugins/kinds/large.py", "9", "8", {"shrink"}),
        ("src/unfreeze/stages/grow.py", "sizes import DOUBLE", "pages import fill as DOUBLE", {"grow"}),
        # No stage uses what these change.
        ("src/unfreeze/texts.py", "text * 2", "text * 3", set()),
        ("src/unfreeze/notes.py", "size = 1", "size = 2", set()),
        ("src/unfreeze/runtime/console.py", "None", "True", set()),
        ("src/unfreeze/stages/shrink.py", '"begin"', '"here we go"', set()),
        ("src/unfreeze/sizes.py", "HALF", "# Of the length.\nHALF", set()),
    ],
)  # fmt: skip
def test_an_edit_changes_the_stages_that_use_it(root: Path, name: str, old: str, new: str, stages: set[str]) -> None:
    assert changed_by(root, name, old, new) == stages


def test_a_new_entry_of_a_registry_changes_the_stages_that_load_it(root: Path) -> None:
    before = Source(root).compute_digests()
    (root / "plugins/kinds/huge.py").write_text("SIZE = 99\n")
    after = Source(root).compute_digests()
    assert before["shrink"] != after["shrink"]
    assert before["grow"] == after["grow"]


def test_a_module_that_is_handed_on_counts_as_a_whole(root: Path) -> None:
    (root / "src/unfreeze/stages/grow.py").write_text("from unfreeze import texts\ndef run(paths):\n    use(texts)\n")
    assert changed_by(root, "src/unfreeze/texts.py", "text * 2", "text * 3") == {"grow"}


def test_statements_that_run_at_import_count_where_the_module_is_used(root: Path) -> None:
    (root / "src/unfreeze/sizes.py").write_text("import os\nHALF = 0.5\nDOUBLE = 2\nos.environ['A'] = '1'\n")
    assert changed_by(root, "src/unfreeze/sizes.py", "'1'", "'2'") == {"shrink", "grow"}


def copy_of_source(root: Path) -> Path:
    for name in ("src", "plugins"):
        shutil.copytree(PROJECT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return root


def comment_everywhere(root: Path) -> int:
    """Put a comment into every module of the source; return how many there are."""
    modules = list((root / "src").rglob("*.py"))
    for path in modules:
        path.write_text(f"{path.read_text()}\n# A comment.\n")
    return len(modules)


@pytest.mark.slow
def test_a_comment_in_each_module_changes_no_digest(tmp_path: Path) -> None:
    root = copy_of_source(tmp_path)
    before = Source(root).compute_digests()
    assert comment_everywhere(root) > 100
    assert Source(root).compute_digests() == before


def test_what_is_left_out_is_a_short_list() -> None:
    names = {"cluster.shards", "cluster.tasks", "runtime.console", "runtime.imports", "stages.tracker", "paths"}
    assert {f"unfreeze.{name}" for name in names} == WITHOUT_EFFECT


@pytest.mark.parametrize("stage", Source(PROJECT).stages)
def test_no_stage_reaches_what_only_shows_or_logs(stage: str) -> None:
    rooms = {module.split(".")[1] for module, _ in Source(PROJECT).reach(stage)[0]}
    assert not rooms & {"tracking", "release", "ci", "cli"}
    assert stage == "report" or "report" not in rooms
    assert stage == "figures" or "figures" not in rooms or stage == "report"


# A changed constant of a module, and the stages that it decides about.
CHANGES = [
    ("training/heads.py", "offset=1.0", "offset=1.5", {"search", "finetune", "corrections"}),
    ("checks/duplicates.py", "LEAST_CORRELATION = 0.9", "LEAST_CORRELATION = 0.8", {"check"}),
    # The report takes its columns from the registry of metrics, whose entries hold their intervals, and `validate`
    # the names that promote.floors may have.
    (
        "evaluation/intervals.py",
        "\nRESAMPLES = 2000",
        "\nRESAMPLES = 1999",
        {"validate", "evaluate", "verdict", "corrections", "report"},
    ),
    ("tracking/views.py", "MAX_TAG = 5000", "MAX_TAG = 4000", set[str]()),
]


def test_dvc_reruns_nothing_for_a_comment_in_each_module(edited: Checkout) -> None:
    comment_everywhere(edited.root)
    assert "dvc.lock matches" in edited.run("unfreeze", "ci", "verify")
    said = edited.run("dvc", "repro")
    assert said.count("Running stage") == 1
    assert "Running stage 'code'" in said
    assert "up to date" in edited.run("dvc", "status")


@pytest.mark.parametrize(("module", "old", "new", "stages"), CHANGES, ids=[change[0] for change in CHANGES])
def test_dvc_reruns_the_stages_that_use_a_constant(
    edited: Checkout, module: str, old: str, new: str, stages: set[str]
) -> None:
    path = edited.root / "src/unfreeze" / module
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    # Plain `dvc repro` notices by itself: its first stage depends on the source.
    assert "code:" in edited.run("dvc", "status")
    edited.run("dvc", "repro", "code")
    shown = json.loads(edited.run("dvc", "status", "--json"))
    assert {name.partition("@")[0] for name in shown} == stages
