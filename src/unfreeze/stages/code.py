"""Write one digest a stage of the code that decides its outputs: what the other stages depend on."""

from unfreeze import files
from unfreeze.paths import Paths
from unfreeze.records.code import Source


def run(paths: Paths) -> None:
    """Write code/<stage>.txt for every stage."""
    with files.atomic(paths.code) as folder:
        folder.mkdir()
        for stage, digest in Source(paths.root).digests().items():
            (folder / f"{stage}.txt").write_text(f"{digest}\n", encoding="utf-8")
