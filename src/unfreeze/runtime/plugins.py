"""Loading of what a registry holds: the package's own entries, and those in the checkout's `plugins/` folder."""

import importlib
import importlib.util
import pkgutil
import sys
from pathlib import Path
from types import ModuleType

from unfreeze.errors import UnfreezeError

FOLDER = "plugins"


def load_entries(kind: str, package: str) -> None:
    """Import every module of a package, then every file in `plugins/<kind>/` of the working folder.

    Each module registers its entries as it is imported. A stage's code digest finds this call by its literal
    arguments and covers the same files, so call it with two string literals.

    Args:
        kind: Name of the registry, and of its folder under `plugins/`.
        package: Dotted name of the package that holds the built-in entries, one file each.

    Raises:
        UnfreezeError: A file in `plugins/` cannot be imported.
    """
    for module in sorted(item.name for item in pkgutil.iter_modules(importlib.import_module(package).__path__)):
        importlib.import_module(f"{package}.{module}")
    for file in sorted(Path(FOLDER, kind).glob("*.py")):
        import_file(f"{FOLDER}.{kind}.{file.stem}", file)


def import_file(name: str, file: Path) -> ModuleType:
    """Import a file of the working folder, once.

    Args:
        name: Dotted name of its module, such as `plugins.backbones.tiny`.
        file: The file.

    Returns:
        The module.

    Raises:
        UnfreezeError: It cannot be imported.
    """
    # A prefix of its own: an installed package may be called `plugins`.
    name = f"unfreeze_checkout.{name}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UnfreezeError(f"{file} is no Python module: give its name the ending .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UnfreezeError(
            f"{file} cannot be imported ({type(error).__name__}: {error}): correct it or remove it"
        ) from error
    return module
