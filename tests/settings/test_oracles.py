"""The registry of oracles: one from a working folder's plugins, and no slow import for a name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT
from tests.warm import find_programs
from unfreeze.errors import UnfreezeError
from unfreeze.records.code import Source
from unfreeze.settings.oracles import find_oracle, register

# Takes lower and lower rates, as a user would write it.
OWN_ORACLE = """
from unfreeze.records.code import Source
from unfreeze.settings.oracles import register

@register("lower")
def build(epochs):
    import keras_tuner

    class Lower(keras_tuner.oracles.RandomSearchOracle):
        def populate_space(self, trial_id):
            values = {hp.name: hp.default for hp in self.hyperparameters.space}
            values["learning_rate"] = 1e-4 / (1 + int(trial_id))
            return {"status": "RUNNING", "values": values}

    return Lower, {}
"""
SEARCH_WITH_IT = """
import sys
from pathlib import Path
from tests.search.test_tuner import Formula, run, settings

rows = run(Path("search"), settings(Path.cwd(), oracle="lower", max_trials=4), Formula())
print([trial.settings["learning_rate"] for trial in rows])
"""


def test_an_oracle_in_plugins_is_searched_with(tmp_path: Path) -> None:
    (tmp_path / "plugins/oracles").mkdir(parents=True)
    (tmp_path / "plugins/oracles/lower.py").write_text(OWN_ORACLE)
    done = subprocess.run(
        [find_programs() / "python", "-c", SEARCH_WITH_IT],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'src'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1:] == ["[0.0001, 5e-05, 3.3333333333333335e-05]"], done.stderr


def test_a_name_is_validated_without_importing_keras_tuner() -> None:
    program = (
        "import sys; from unfreeze.settings.oracles import find_oracle; find_oracle('grid');"
        "sys.exit('keras_tuner' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_name_that_is_taken_is_refused() -> None:
    find_oracle("grid")
    with pytest.raises(UnfreezeError, match="oracle 'grid' is registered twice: choose another name"):
        register("grid")


def test_an_added_oracle_reruns_searches_and_no_other_work(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    before = Source(tmp_path).compute_digests()
    (tmp_path / "plugins/oracles").mkdir(parents=True)
    (tmp_path / "plugins/oracles/lower.py").write_text(OWN_ORACLE)
    after = Source(tmp_path).compute_digests()
    assert {stage for stage in after if after[stage] != before[stage]} == {"search", "validate"}
