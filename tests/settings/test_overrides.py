"""Overrides come through Hydra, DVC's way to params.yaml and a shell as the values that they were."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import compose_and_dump, to_hydra_overrides
from hypothesis import example, given
from hypothesis import strategies as st

from tests.conftest import PROJECT
from unfreeze.errors import UnfreezeError
from unfreeze.settings.overrides import check_override, quote_for_shell, quote_override

# What YAML can hold, and no `${`.
texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff\ufeff"), max_size=40
).filter(lambda text: "${" not in text)
values = st.recursive(
    texts | st.integers(-1000, 1000) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["file", "path", "x1"]), inner),
    max_leaves=6,
)
PATHS = [
    "/x/My Photos (2023)", "/x/Übung", "/x/it's", "/x/#1", "/x/a:b", "/x/a\\b", "/x/a\\", "/x/a\\'b", "/x/$HOME `ls`",
    '/x/"q"', "/x/a!b", "/x/1.5", "/x/null", "/x/=,{}[]", "/x/~a", "~/photos", "/x/ ", "/x/日本", "/x/%20", "/x/*?",
]  # fmt: skip


@given(values)
@example("it's\\")
@example("\\'")
def test_any_value_comes_back_from_hydra_s_parser(value: Any) -> None:
    override = to_hydra_overrides([quote_override("data.source", value)])[0]
    assert override.get_key_element() == "data.source"
    assert override.value() == value


@pytest.mark.parametrize("path", PATHS)
def test_a_path_comes_through_a_shell_and_the_settings(tmp_path: Path, path: str) -> None:
    word = quote_for_shell(quote_override("data.source", path))
    got = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True).stdout
    assert shlex.split(word) == [got]
    compose_and_dump(str(tmp_path / "params.yaml"), str(PROJECT / "conf"), None, "config", "", ["data=folder", got])
    data = yaml.safe_load((tmp_path / "params.yaml").read_text())["data"]
    assert (data["source"], data["watch"]) == (path, path)


@pytest.mark.parametrize(("text", "problem"), [("/x/${y}", "inserts the value"), ("/x/\x07", "control characters")])
def test_what_settings_cannot_hold_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UnfreezeError, match=problem):
        quote_override("data.source", text)


def test_an_unquoted_path_is_answered_with_the_quoted_one() -> None:
    check_override("search.max_trials=4")
    check_override("study.backbones=[xception,from_scratch]")
    with pytest.raises(UnfreezeError) as caught:
        check_override("data.source=/x/My Photos (2023)")
    remedy = str(caught.value).partition("as in -S ")[2]
    assert shlex.split(remedy) == ["data.source='/x/My Photos (2023)'"]
