"""Which code decides a stage's outputs, and one digest of it.

Starting from a stage's entry point, every definition that it can reach through names and imports is collected, across
modules. The digest covers their syntax trees without what cannot change an output: comments, docstrings, type hints,
the texts of errors and log lines, imports and definitions that nothing reached uses. So an edit reruns the stages
that use what it changed, and no others.

What is reached is an upper bound: a name counts as used wherever it occurs. Names that are only known at run time
(`getattr` on a module, `importlib`) are not followed; registries are, through `runtime.plugins.load_entries`.
"""

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import cast

import yaml

from unfreeze.records.module import PACKAGE, Module, find_names, read_module
from unfreeze.records.syntax import iterate_tokens

# They show or log what happens, load libraries, name files, which DVC compares by itself, or say who computes rows.
WITHOUT_EFFECT = frozenset(
    {
        "unfreeze.cluster.shards",
        "unfreeze.cluster.tasks",
        "unfreeze.paths",
        "unfreeze.runtime.console",
        "unfreeze.runtime.imports",
        "unfreeze.stages.tracker",
    }
)
# Modules whose code runs in a stage although the stage is handed it by the command line.
HANDED_IN = {"report": ("unfreeze.report.write",)}
# Modules in `stages/` that are no stage with outputs of their own, or none that code decides.
NOT_STAGES = frozenset({"__init__", "tracker", "code"})
# Stages that read the settings of backbones of one's own: the weights that `pretrained` writes hold the digest of a
# backbone's, so that all stages that build the backbone are run again with it.
READS_OWN_BACKBONES = frozenset({"validate", "pretrained"})
OWN_BACKBONES = "conf/backbones"
LOAD_ENTRIES = ("unfreeze.runtime.plugins", "load_entries")
PLUGINS = "plugins"
TEMPLATE = re.compile(r"[\w/.-]+\.j2")

# The stage that writes the digests; an edit that changes none of them is no reason to run another stage.
CODE_STAGE = "code"

# A top-level definition: module and name; the name is empty for statements that run when the module is imported.
Key = tuple[str, str]


class Source:
    """The code of one checkout.

    Args:
        root: The checkout.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, Module | None] = {}
        self._uses: dict[Key, tuple[list[str], set[Key], set[str]]] = {}

    @cached_property
    def stages(self) -> list[str]:
        """Names of the stages, from the modules in `stages/`."""
        folder = self.root / "src" / PACKAGE / "stages"
        return sorted(path.stem for path in folder.glob("*.py") if path.stem not in NOT_STAGES)

    def compute_digests(self) -> dict[str, str]:
        """Return the digest of every stage, by name."""
        return {stage: self.digest(stage) for stage in self.stages}

    def digest(self, stage: str) -> str:
        """Return the SHA-256 of all code that decides a stage's outputs.

        Args:
            stage: Name of a module in `stages/`.
        """
        digest = hashlib.sha256()
        keys, templates = self.reach(stage)
        digest.update(self._write_tokens(keys))
        for template in sorted(templates):
            digest.update(template.encode() + (self._templates / template).read_bytes())
        if stage in READS_OWN_BACKBONES:
            for file in sorted((self.root / OWN_BACKBONES).glob("*.yaml")):
                digest.update(f"{file.stem}={self.digest_backbone(file.stem)}\n".encode())
        return digest.hexdigest()

    def digest_backbone(self, name: str) -> str | None:
        """Return the SHA-256 of a backbone's settings in `conf/backbones` and of its builder's code in `plugins/`.

        Args:
            name: The backbone.

        Returns:
            The digest; None if there are no such settings. Those of a `.keras` file hold the file's own digest.
        """
        file = self.root / OWN_BACKBONES / f"{name}.yaml"
        if not file.is_file():
            return None
        # Wrong settings are reported by `validate`, which is run after this.
        with suppress(yaml.YAMLError):
            settings = yaml.safe_load(file.read_text(encoding="utf-8"))
            module = str(settings.get("builder")).partition(":")[0] if isinstance(settings, dict) else ""
            keys, _ = self._reach(self._list_whole([module])) if self._read_module(module) else (set(), set())
            return hashlib.sha256(repr(settings).encode() + self._write_tokens(keys)).hexdigest()
        return "unreadable"

    def _write_tokens(self, keys: set[Key]) -> bytes:
        """Return the tokens of definitions, in an order of their own."""
        return b"".join("\0".join([*key, *self._use(key)[0], "\n"]).encode() for key in sorted(keys))

    def reach(self, stage: str) -> tuple[set[Key], set[str]]:
        """Return the definitions and the templates that a stage can reach.

        Args:
            stage: Name of a module in `stages/`.
        """
        modules = [f"{PACKAGE}.stages.{stage}", *HANDED_IN.get(stage, ())]
        return self._reach([*self._list_whole(modules), *self._list_settings(stage)])

    def _list_whole(self, modules: Iterable[str]) -> Iterator[Key]:
        """Yield all definitions of modules."""
        yield from ((module, name) for module in modules for name in ("", *self._list_defined(module)))

    def _reach(self, starts: Iterable[Key]) -> tuple[set[Key], set[str]]:
        """Return the definitions and the templates that can be reached from some definitions."""
        waiting = list(starts)
        keys: set[Key] = set()
        templates: set[str] = set()
        while waiting:
            key = waiting.pop()
            if key in keys or key[0] in WITHOUT_EFFECT or self._read_module(key[0]) is None:
                continue
            keys.add(key)
            _, used, filled = self._use(key)
            templates |= self._add_included(filled)
            waiting += [(key[0], ""), *used]
        return keys, templates

    def _list_settings(self, stage: str) -> Iterator[Key]:
        """Yield the definitions of the types of a stage's settings, which the command line builds."""
        module = self._read_module(f"{PACKAGE}.stages.{stage}")
        for local in module.settings if module else ():
            yield from self._resolve(cast(Module, module), local, ())

    def _use(self, key: Key) -> tuple[list[str], set[Key], set[str]]:
        """Return a definition's tokens, the definitions and the templates that it uses."""
        if key not in self._uses:
            module = self._read_module(key[0])
            assert module is not None
            statements = module.list_statements(key[1])
            words: list[str] = []
            used: set[Key] = set()
            for statement in statements:
                words += iterate_tokens(statement)
                for local, chain in find_names(statement):
                    words += self._import_tokens(module, local)
                    used |= set(self._resolve(module, local, chain))
                used |= set(self._list_entries(module, statement))
            self._uses[key] = words, used, {text for text in words if TEMPLATE.fullmatch(text)}
        return self._uses[key]

    def _resolve(self, module: Module, local: str, chain: tuple[str, ...]) -> Iterator[Key]:
        """Yield the definitions that a name, with the attributes asked of it, stands for."""
        if local in module.definitions:
            yield module.name, local
        if local in module.imports:
            yield from self._resolve_target(*module.imports[local], chain)

    def _resolve_target(self, name: str, member: str | None, chain: tuple[str, ...]) -> Iterator[Key]:
        if member is not None:
            chain = (member, *chain)
        while chain and self._find_path(f"{name}.{chain[0]}"):
            name, chain = f"{name}.{chain[0]}", chain[1:]
        module = self._read_module(name)
        if module is None:
            return
        if not chain:
            # The module itself is handed on: all of it may be used.
            yield from self._list_whole([name])
        elif chain[0] in module.definitions:
            yield name, chain[0]
        elif chain[0] in module.imports:
            yield from self._resolve_target(*module.imports[chain[0]], chain[1:])

    def _list_entries(self, module: Module, statement: ast.stmt) -> Iterator[Key]:
        """Yield all definitions of the modules that a registry loads in a statement."""
        for node in ast.walk(statement):
            if not (isinstance(node, ast.Call) and len(node.args) == 2):
                continue
            called = [key for local, chain in find_names(node.func) for key in self._resolve(module, local, chain)]
            literals = [
                arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
            ]
            if LOAD_ENTRIES not in called or len(literals) != 2:
                continue
            kind, package = literals
            folder = self.root / "src" / package.replace(".", "/")
            names = [f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__"]
            names += [f"{PLUGINS}.{kind}.{path.stem}" for path in sorted((self.root / PLUGINS / kind).glob("*.py"))]
            yield from self._list_whole(names)

    def _import_tokens(self, module: Module, local: str) -> list[str]:
        if local not in module.imports:
            return []
        name, member = module.imports[local]
        return [f"{local}={name}:{member or ''}"]

    def _list_defined(self, name: str) -> Iterable[str]:
        module = self._read_module(name)
        return module.definitions if module else ()

    def _read_module(self, name: str) -> Module | None:
        if name not in self._modules:
            path = self._find_path(name)
            self._modules[name] = read_module(name, path) if path else None
        return self._modules[name]

    def _find_path(self, name: str) -> Path | None:
        """Return a module's file; None if it is none of this checkout's, or a package."""
        folder = self.root if name.startswith(f"{PLUGINS}.") else self.root / "src"
        path = folder / f"{name.replace('.', '/')}.py"
        return path if name.split(".")[0] in (PACKAGE, PLUGINS) and path.is_file() else None

    @property
    def _templates(self) -> Path:
        return self.root / "src" / PACKAGE / "templates"

    def _add_included(self, templates: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(templates)
        while waiting:
            name = waiting.pop()
            if name not in found and (self._templates / name).is_file():
                found.add(name)
                waiting += TEMPLATE.findall((self._templates / name).read_text(encoding="utf-8"))
        return found
