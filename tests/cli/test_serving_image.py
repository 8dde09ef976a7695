"""The image that serves a registered model: nothing builds it here, so its steps are run without it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests import dockerfile
from tests.conftest import PROJECT
from tests.tracking.logged import make_checkout
from tests.tracking.stores import free, serving

STAGES = dockerfile.read(PROJECT / ".devcontainer/Dockerfile")
SERVE = STAGES["serve"]
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the package as the image does, from the files that are copied there."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("installed")
    for name in SERVE.copied:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=IGNORED)
        else:
            shutil.copy(PROJECT / name, source)
    (step,) = (text for text in SERVE.find("RUN") if " pip install " in text)
    words = shlex.split(step.partition("&&")[0].replace("/home/unfreeze/source", str(source)))
    words[0] = sys.executable
    subprocess.run([*words, "--quiet", "--target", str(target)], check=True)
    return target


def test_it_has_the_locked_packages_and_no_tools_of_development() -> None:
    assert SERVE.base == "packages"
    assert STAGES["packages"].copied == ["requirements.lock"]
    assert not any("apt-get" in step for step in SERVE.find("RUN"))
    assert SERVE.find("EXPOSE") == ["8000"]


def test_pip_installs_the_locked_packages_that_say_they_are_for_other_versions_of_python(tmp_path: Path) -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    (package,) = re.findall(r"^backports-strenum==(?:.*\\\n)+.*\n", lock, re.MULTILINE)
    (tmp_path / "requirements.lock").write_text(package)
    (step,) = (text for text in STAGES["packages"].find("RUN") if " pip install " in text)
    (command,) = (part for part in step.split("&&") if " pip install " in part)
    _, *words = shlex.split(command.replace("/home/unfreeze/requirements.lock", str(tmp_path / "requirements.lock")))
    subprocess.run([sys.executable, *words, "--quiet", "--target", str(tmp_path / "installed")], check=True)
    assert list((tmp_path / "installed").glob("backports_strenum-*.dist-info"))


def test_it_holds_no_secret_and_names_no_registry() -> None:
    for stage in STAGES.values():
        assert not any("TOKEN" in step or "MLFLOW" in step for step in stage.find("ENV") + stage.find("ARG"))


def test_its_command_answers_with_the_champion(
    installed: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, port = tmp_path / "serving", free()
    (folder / "models").mkdir(parents=True)
    address = f"http://127.0.0.1:{port}"
    # The image has no git.
    environment = {"PATH": str(installed / "bin"), "PYTHONPATH": str(installed), "HOME": str(tmp_path)}
    settings = {"UNFREEZE_TOKEN": "secret", "MLFLOW_TRACKING_URI": address}
    with serving(tmp_path, port):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        made = make_checkout(tmp_path / "checkout", packed)
        made.registry.promote(made.register().number, expected=None, reason="first champion")
        program, *arguments = SERVE.command
        command = [installed / "bin" / program, *arguments, "--port", "0"]
        with subprocess.Popen(
            command, cwd=folder, env={**environment, **settings}, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr
                line = process.stderr.readline()
                found = re.search(r"unfreeze version 1 answers on http://0\.0\.0\.0:(\d+)", line)
                assert found, line + process.stderr.read()
                service = f"http://127.0.0.1:{found[1]}"
                assert b"<html" in urllib.request.urlopen(f"{service}/").read()
                image = (packed.parents[1] / "raw/red/0.png").read_bytes()
                with pytest.raises(urllib.error.HTTPError, match="401"):
                    urllib.request.urlopen(f"{service}/predict", image)
                allowed = {"Authorization": "Bearer secret"}
                request = urllib.request.Request(f"{service}/predict", image, allowed)
                assert b'"version":"1"' in urllib.request.urlopen(request).read()
            finally:
                process.kill()
    # Copies for when the registry is down are kept where the documentation mounts a volume.
    assert (folder / "models/registered/unfreeze/1/model.json").exists()


def test_its_command_needs_a_token(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    environment.pop("UNFREEZE_TOKEN", None)
    program, *arguments = SERVE.command
    ended = subprocess.run(
        [installed / "bin" / program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "set UNFREEZE_TOKEN" in ended.stderr


def test_the_documented_commands_name_what_is_there() -> None:
    text = (PROJECT / "docs/serve.md").read_text(encoding="utf-8")
    build = re.search(r"docker build (.*?)\n", text)
    assert build
    words = shlex.split(build[1])
    assert words[words.index("--target") + 1] in STAGES
    assert (PROJECT / words[words.index("--file") + 1]).exists()
    run = re.search(r"docker run (.*?)\n```", text, re.DOTALL)
    assert run
    (folder,) = SERVE.find("WORKDIR")
    assert f":{folder}/models" in run[1]
    assert all(f"--env {name}" in run[1] for name in ("UNFREEZE_TOKEN", "MLFLOW_TRACKING_URI"))
