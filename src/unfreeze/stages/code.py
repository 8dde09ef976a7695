"""Write one digest a stage of the code that decides its outputs: what the other stages depend on."""

from unfreeze.paths import Paths
from unfreeze.records.code_digests import write_digests


def run(paths: Paths) -> None:
    """Write code/<stage>.txt for every stage."""
    write_digests(paths)
