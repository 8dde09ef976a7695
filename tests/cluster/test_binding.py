import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import PROJECT

CLAIM = """
import os, sys
from pathlib import Path
from unfreeze.cluster.binding import claim_processors
locks = claim_processors(1, Path(sys.argv[1]))
print(*os.sched_getaffinity(0) if locks else [], flush=True)
sys.stdin.read()
"""


def test_workers_of_one_machine_have_processors_of_their_own(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    there = sorted(os.sched_getaffinity(0))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path)], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(len(there) + 1)
    ]  # fmt: skip
    claimed = []
    for worker in workers:
        assert worker.stdout is not None
        claimed.append(worker.stdout.readline().strip())
    # One more than there are processors gets none.
    assert sorted(claimed, key=lambda text: (bool(text), text)) == ["", *map(str, there)]
    for worker in workers:
        worker.communicate()
    # What a process had is free when it ends.
    done = subprocess.run(
        [sys.executable, "-c", CLAIM, str(tmp_path)], env=environment, input="", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(there[0])
