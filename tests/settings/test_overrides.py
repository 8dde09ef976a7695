"""Overrides reach params.yaml as they were meant, through Hydra's own parser and DVC's composition."""

import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unfreeze.errors import UnfreezeError
from unfreeze.settings.overrides import check_override, quote_override

# What Hydra, OmegaConf, YAML or a shell reads as a sign of its own, and what a path may hold besides.
SIGNS = "\\'\"${}()[]<>:;=,#&*!?|%@~` \t\n\u00e9\u4e2d"
LETTERS = st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")
TEXTS = st.text(st.one_of(st.sampled_from(SIGNS), LETTERS)).filter(lambda text: "${" not in text)


@given(TEXTS)
@example("")
@example("/x/My Photos (2023)")
@example("C:\\photos\\")
@example("it\\'s \\\\'")
def test_a_quoted_text_is_what_hydra_reads_and_params_yaml_holds(text: str) -> None:
    import yaml
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    override = OverridesParser.create().parse_override(quote_override("data.source", text))
    assert (override.key_or_group, override.value()) == ("data.source", text)
    # As conf/data/folder.yaml lets DVC watch the source.
    composed = OmegaConf.create({"source": override.value(), "watch": "${source}"})
    OmegaConf.resolve(composed)
    assert yaml.safe_load(OmegaConf.to_yaml(composed)) == {"source": text, "watch": text}


@pytest.mark.parametrize("text", ["/x/${seed}", "/x/\x07", "/x/\udcff"])
def test_what_no_setting_can_hold_is_refused(text: str) -> None:
    with pytest.raises(UnfreezeError, match=r"rename the\s+file or folder"):
        quote_override("data.source", text)


def test_an_unquoted_path_is_answered_with_the_quoted_one() -> None:
    check_override("search.max_trials=4")
    check_override("study.backbones=[xception,from_scratch]")
    with pytest.raises(UnfreezeError) as caught:
        check_override("data.source=/x/My Photos (2023)")
    remedy = str(caught.value).partition("as in -S ")[2]
    assert shlex.split(remedy) == ["data.source='/x/My Photos (2023)'"]
