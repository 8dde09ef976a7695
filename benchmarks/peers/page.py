"""The page of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import pages, pipeline
from benchmarks.inputs import Case
from benchmarks.peers import full_depth, lines, ours
from benchmarks.peers.opponents import PEERS
from benchmarks.peers.summary import summarize

PAGE = Path(__file__).parents[1] / "peers.md"
RECIPES = Path(__file__).parent / "pytorch"


def write(of_kinds: Sequence[Mapping[str, Any]]) -> None:
    """Write peers.md.

    Args:
        of_kinds: The measurements of each kind of processor.
    """
    values = {
        "kinds": [summarize(results) for results in of_kinds],
        "peers": PEERS,
        "size": pipeline.SIZE,
        "lines": count_lines(),
        "step": {"size": full_depth.SIZE, "batch": full_depth.BATCH, "floor": full_depth.FLOOR},
    }
    pages.write("peers.md.j2", PAGE, values)


def count_lines() -> dict[str, int]:
    """Return the lines that a user writes for each side: a peer's recipe, or this project's command and settings."""
    case = Case("resnet50", "ResNet50", "auto", None, "float32", 1)
    counts = {peer: lines.count((RECIPES / f"{peer}_recipe.py").read_text(encoding="utf-8")) for peer in PEERS}
    return {"ours": 1 + len(ours.list_settings(case, Path("images"), pipeline.EPOCHS)), **counts}
