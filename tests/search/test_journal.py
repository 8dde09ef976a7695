import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unfreeze.errors import UnfreezeError
from unfreeze.search.journal import Journal


def begun(path: Path, settings: dict[str, Any]) -> Journal:
    journal = Journal(path)
    journal.begin(settings)
    return journal


SETTINGS = {"points": ["none", "all"], "rate": {"min": 1e-5}}


def test_events_come_back(tmp_path: Path) -> None:
    path = tmp_path / "search/journal.jsonl"
    first = begun(path, SETTINGS)
    first.append({"trial": 1})
    first.append({"trial": 2})
    first.close()
    assert begun(path, SETTINGS).events == [{"trial": 1}, {"trial": 2}]


@pytest.mark.parametrize("left", [b"", b'{"tri', b'{"trial": 3}'])
def test_what_a_killed_process_left_of_a_line_is_cut_off(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    journal = begun(path, SETTINGS)
    journal.append({"trial": 1})
    journal.close()
    with path.open("ab") as stream:
        stream.write(left)
    again = begun(path, SETTINGS)
    assert again.events == [{"trial": 1}]
    again.append({"trial": 2})
    assert [json.loads(line) for line in path.read_text().splitlines()[1:]] == [{"trial": 1}, {"trial": 2}]


def test_other_settings_are_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    begun(path, SETTINGS).close()
    before = path.read_bytes()
    with pytest.raises(UnfreezeError) as raised:
        begun(path, {**SETTINGS, "points": ["none"]})
    assert "points ['none', 'all'], now ['none']" in str(raised.value)
    assert f"or remove {tmp_path} to begin anew" in str(raised.value)
    assert path.read_bytes() == before


def test_two_processes_do_not_write_at_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    program = f"""
from pathlib import Path
from unfreeze.search.journal import Journal
Journal(Path({str(tmp_path / "journal.jsonl")!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "is being written by another process" in done.stderr
    journal.close()
