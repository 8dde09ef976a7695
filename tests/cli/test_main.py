import errno
import json
import subprocess
import sys

import pytest

from unfreeze.cli import main, registry
from unfreeze.errors import UnfreezeError


def ending_with(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> str:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(registry, "_sync", fail)
    with pytest.raises(SystemExit) as caught:
        main.main(["sync"])
    return str(caught.value)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UnfreezeError("x is wrong: do y"), "error: x is wrong: do y"),
        (OSError(errno.ENOSPC, "No space left on device", "a.h5"), "error: no space left to write a.h5"),
        (OSError("Can't write data (file write failed: errno = 28, ...)"), "error: no space left to write"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.h5"),
            "error: not permitted to read or write a.h5 ([Errno 13] Permission denied: 'a.h5'): change",
        ),
        (OSError(errno.EROFS, "Read-only file system", "a.h5"), "error: not permitted to read or write a.h5"),
        (
            OSError("Unable to open file (unable to open file: name = 'a.h5', errno = 13, ...)"),
            "error: not permitted",
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(error: BaseException, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ending_with(error, monkeypatch).startswith(line)


def test_other_errors_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error", "a.h5")

    monkeypatch.setattr(registry, "_sync", fail)
    with pytest.raises(OSError, match="a.h5"):
        main.main(["sync"])


@pytest.mark.slow
def test_backbones_are_printed_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["backbones", "vgg16", "from_scratch", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["vgg16", "from_scratch"]
    assert rows[0]["parameters"] == 14_714_688
    assert [point["layer"] for point in rows[0]["unfreeze_points"]][1:] == [
        f"block{number}_conv1" for number in (2, 3, 4, 5)
    ]


def test_backbones_are_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main.main(["backbones", "vgg16"])
    shown = capsys.readouterr().out
    assert "vgg16" in shown
    assert "138,357,544" in shown


def test_help_starts_without_heavy_imports() -> None:
    script = (
        "import sys\nfrom unfreeze.cli.main import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'tensorflow', 'keras', 'mlflow', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]")
