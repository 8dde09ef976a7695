"""Reads the stages of a Dockerfile."""

import json
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One stage.

    Args:
        base: The image or the stage that it begins with.
        steps: (instruction, arguments), in order.
    """

    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    @property
    def copied(self) -> list[str]:
        """What is copied into it from the folder that it is built from."""
        given = [[word for word in text.split() if not word.startswith("--")] for text in self.find("COPY")]
        return [name for words in given for name in words[:-1]]

    @property
    def command(self) -> list[str]:
        """The arguments of its command."""
        return list(json.loads(self.find("CMD")[-1]))

    def find(self, instruction: str) -> list[str]:
        """Return the arguments of all steps of a kind."""
        return [text for name, text in self.steps if name == instruction]


def read(path: Path) -> dict[str, Stage]:
    """Return the stages by name, in order."""
    text = path.read_text(encoding="utf-8").replace("\\\n", " ")
    stages: dict[str, Stage] = {}
    for line in text.splitlines():
        instruction, _, arguments = line.strip().partition(" ")
        if instruction == "FROM":
            base, _, name = arguments.split()
            present = stages[name] = Stage(base)
        elif instruction and not instruction.startswith("#"):
            present.steps.append((instruction, " ".join(arguments.split())))
    return stages
