import subprocess
import sys

PROGRAM = """
import sys
from unfreeze.runtime import console
console.import_tensorflow()
import tensorflow
print(*(name in sys.modules for name in console.KERAS_EXTRAS))
import matplotlib, sklearn
"""


def test_tensorflow_starts_without_what_keras_needs_for_nothing_here() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
