import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT

SKIPPED = """
import pytest

@pytest.mark.skipif(True, reason="{reason}")
def test_of_something(): pass

@pytest.mark.xfail
def test_that_is_known_to_fail(): assert False
"""


def run(folder: Path, test: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(test)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.allowed_skips", "-p", "no:cacheprovider", *options, folder],
        cwd=folder,
        env={"PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("options", "environment"),
    [(["--no-unlisted-skips"], {}), ([], {"CI": "true"}), (["-p", "xdist", "-n", "1"], {"CI": "true"})],
)
def test_an_unlisted_skip_fails_the_run_and_is_named(
    tmp_path: Path, options: list[str], environment: dict[str, str]
) -> None:
    done = run(tmp_path, SKIPPED.format(reason="needs a lucky day"), *options, **environment)
    assert done.returncode == 1, done.stdout
    assert "test_it.py::test_of_something" in done.stdout
    assert "skipped (needs a lucky day), and that is not in ALLOWED_SKIPS" in done.stdout
    assert "1 xfailed, 1 error" in done.stdout


def test_a_module_that_skips_itself_fails_the_run_too(tmp_path: Path) -> None:
    done = run(tmp_path, "import pytest; pytest.importorskip('no_such_package')", "--no-unlisted-skips")
    assert done.returncode != 0
    assert "could not import 'no_such_package'" in done.stdout


def test_a_listed_skip_passes(tmp_path: Path) -> None:
    done = run(tmp_path, SKIPPED.format(reason="there is no Chromium here"), "--no-unlisted-skips")
    assert done.returncode == 0, done.stdout
    assert "1 skipped, 1 xfailed" in done.stdout


def test_a_developer_may_skip(tmp_path: Path) -> None:
    assert run(tmp_path, SKIPPED.format(reason="needs a lucky day")).returncode == 0
