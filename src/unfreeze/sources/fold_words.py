"""The words for training, validation and test folds in English, Spanish, German, French and Portuguese."""

import functools
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from unfreeze.settings.base import FOLDS

# Without accents and in lower case.
WORDS = {
    "train": "train training trainings trn entrenamiento trainieren entrainement apprentissage treino treinamento",
    "val": "val valid validation validate dev devel development validacion desarrollo validierung validierungs "
    "entwicklung developpement validacao desenvolvimento",
    "test": "test tests testing tst prueba pruebas pruefung prufung testen teste testes",
}
FOLD_OF_WORD = {word: fold for fold, words in WORDS.items() for word in words.split()}
# What stands beside such a word in the name of a folder or of a table.
BESIDE_WORDS = (
    "set sets data dataset daten datos dados donnees images image imgs img pictures photos fotos bilder split fold "
    "folder labels label metadata annotations annotation list files jpg png csv"
)
BESIDE = frozenset(BESIDE_WORDS.split())


@functools.cache
def find_fold(name: str) -> str | None:
    """Return the fold that a name means; None if it means none.

    >>> find_fold("Validación"), find_fold("train_images"), find_fold("Testdaten"), find_fold("trainer")
    ('val', 'train', 'test', None)
    """
    plain = unicodedata.normalize("NFKD", name)
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()
    words = [word for word in re.split(r"[\s_\-.]+", plain) if word and word not in BESIDE]
    if len(words) > 1 and re.fullmatch(r"(19|20)\d\d", words[-1]):
        words.pop()
    if len(words) != 1:
        return None
    word = re.sub(r"(?<=\D)(19|20)\d\d$", "", words[0])
    candidates = [word, *(word.removesuffix(beside) for beside in BESIDE if word.endswith(beside))]
    return next((FOLD_OF_WORD[candidate] for candidate in candidates if candidate in FOLD_OF_WORD), None)


@dataclass(frozen=True)
class FoldLevel:
    """Which folders of paths name folds.

    Args:
        level: Number of the part of each path, from 0; None if no level names folds.
        again: Further levels that name the same fold for each path, as in train/train/cat.
        problem: Why it cannot be told which one does; empty if it can.
    """

    level: int | None
    problem: str = ""
    again: tuple[int, ...] = ()


def find_fold_level(folders: Iterable[tuple[str, ...]]) -> FoldLevel:
    """Find the level of folders that are folds.

    Args:
        folders: The parts of each folder that holds images directly, from the same folder down.

    Returns:
        The one level at which every folder is called after a fold, and at least two folds are named.
    """
    folders = list(folders)
    problems, levels = [], []
    for level in range(max(map(len, folders), default=0)):
        names = {folder[level] for folder in folders if len(folder) > level}
        folds = {name: find_fold(name) for name in names}
        named = {fold for fold in folds.values() if fold}
        rest = sorted(name for name, fold in folds.items() if fold is None)
        short = sorted("/".join(folder) for folder in folders if 0 < len(folder) <= level)
        if len(named) < 2:
            continue
        shown = ", ".join(sorted(name for name, fold in folds.items() if fold))
        if rest or short:
            problems.append(
                f"beside folders called after folds ({shown}) stand others ({', '.join((rest or short)[:3])})"
            )
        else:
            levels.append(level)
    if any(len({find_fold(folder[level]) for level in levels}) > 1 for folder in folders if folder):
        problems.append("folders at several levels are called after different folds")
    if problems:
        return FoldLevel(None, problems[0])
    return FoldLevel(levels[0], again=tuple(levels[1:])) if levels else FoldLevel(None)


def list_missing_folds(folds: Iterable[str]) -> list[str]:
    """Return the folds that a source lacks although it gives one to every image: they are drawn from its training.

    Args:
        folds: The fold that the source gives each image, empty for none.

    Example:
        >>> list_missing_folds(["train", "test", "train"])
        ['val']
        >>> list_missing_folds(["train", ""])
        []
    """
    there = set(folds)
    return [fold for fold in FOLDS if fold not in there] if "" not in there and "train" in there else []
