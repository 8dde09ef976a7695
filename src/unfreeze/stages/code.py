"""Write one digest a stage of the code that decides its outputs: what the other stages depend on."""

from unfreeze.paths import Paths
from unfreeze.records import code


def run(paths: Paths) -> None:
    """Write code/<stage>.txt for every stage."""
    code.write_digests(paths)
