from datetime import date
from pathlib import Path

import pandas as pd
import pytest

from unfreeze.checks import waivers
from unfreeze.errors import UnfreezeError

TODAY = date(2030, 1, 1)
DIGEST = "a" * 64
ENTRY = f"- check: blurry\n  image: {DIGEST}\n  reason: fog\n  expires: 2030-01-01\n"


def load(tmp_path: Path, text: str) -> list[waivers.Waiver]:
    path = tmp_path / "waivers.yaml"
    path.write_text(text)
    return waivers.load(path, TODAY)


def test_a_finding_is_let_pass_for_one_image_or_all(tmp_path: Path) -> None:
    found = pd.DataFrame({"blurry": [True, True, False], "dark": [True, False, True]})
    digests = pd.Series([DIGEST, "b" * 64, "c" * 64])
    one = waivers.find_waived(found, digests, load(tmp_path, ENTRY))
    assert one.to_dict("list") == {"blurry": [True, False, False], "dark": [False] * 3}
    everywhere = waivers.find_waived(
        found, digests, load(tmp_path, ENTRY.replace(DIGEST, '"*"').replace("blurry", "dark"))
    )
    assert everywhere.to_dict("list") == {"blurry": [False] * 3, "dark": [True, False, True]}


def test_no_file_and_an_empty_one_waive_nothing(tmp_path: Path) -> None:
    assert waivers.load(tmp_path / "none.yaml", TODAY) == []
    assert load(tmp_path, "# nothing\n[]\n") == []
    assert load(tmp_path, "") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTRY.replace("2030-01-01", "2029-12-31"), r"waiver of blurry for a{64} expired on 2029-12-31 \(fog\)"),
        (ENTRY.replace(DIGEST, "abc"), "image"),
        (ENTRY.replace("fog", '""'), "reason"),
        (ENTRY + "  author: me\n", "author"),
        ("blurry: all\n", "expected a list of check"),
        ("- [\n", "not valid YAML"),
    ],
)
def test_a_waiver_that_says_too_little_or_has_expired_is_an_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UnfreezeError, match=message) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["blury", "drift"])
def test_a_waiver_of_a_check_that_there_is_not_is_an_error(tmp_path: Path, name: str) -> None:
    path, entries = tmp_path / "checks/waivers.yaml", load(tmp_path, ENTRY.replace("blurry", name))
    waivers.require_known_checks(path, load(tmp_path, ENTRY), ["dark", "blurry"])
    with pytest.raises(UnfreezeError, match=f"called '{name}': there are dark, blurry; .*level in params.yaml"):
        waivers.require_known_checks(path, entries, ["dark", "blurry"])
