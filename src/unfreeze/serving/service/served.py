"""The model that the service answers with, and the place where it is exchanged."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unfreeze.serving import locate
from unfreeze.serving.classifier import Answers, Classifier
from unfreeze.serving.locate import Located
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.pool import Pool


@dataclass(frozen=True)
class Served:
    """A packed model, loaded and tried.

    Args:
        located: Where it lies.
        classifier: Its network takes one image a call.
        pool: Requests to that network.
        name: What clients call it.
    """

    located: Located
    classifier: Classifier
    pool: Pool
    name: str
    _found: list[Path] = field(default_factory=list, compare=False)

    @classmethod
    def load(cls, located: Located, counters: Counters) -> "Served":
        """Load a package, and try it on its example.

        Args:
            located: Where it lies.
            counters: Those of the service.

        Raises:
            UnfreezeError: The package is missing, damaged, of another version, or gives other probabilities than
                when it was packed.
        """
        classifier = Classifier(located.folder, batch_size=1)
        classifier.try_example()
        return cls(located, classifier, Pool(classifier.network, counters), name_model(located))

    @property
    def digest(self) -> str:
        """SHA-256 of the `.keras` file that it was packed from."""
        return self.classifier.model.model_sha256

    async def classify(self, pixels: np.ndarray, counters: Counters) -> Answers:
        """Return the answer for an image, and count it.

        Args:
            pixels: uint8 array of shape (size, size, 3).
            counters: Those of the service.
        """
        probabilities, features = await self.pool.run(pixels)
        with counters.measure("answer"):
            answers = self.classifier.answer(probabilities, features)
        counters.count_answer(self.classifier.classes[int(answers.probabilities[0].argmax())], answers.reasons[0])
        return answers

    def find_keras(self) -> Path | None:
        """Return the `.keras` file that the package was made from, if `locate.search_network` finds it."""
        # Where there is none it may come later.
        if not self._found and (found := locate.search_network(self.located.folder, self.classifier.model)):
            self._found.append(found)
        return self._found[0] if self._found else None


class Shelf:
    """Holds the model that answers; a request takes it once and keeps it to its end.

    Args:
        served: The first model.
        counters: Those of the service.
    """

    def __init__(self, served: Served, counters: Counters) -> None:
        self._counters = counters
        self.put(served)

    def put(self, served: Served) -> None:
        """Let another model answer all requests that begin from now on."""
        self.current = served
        classes = served.classifier.classes
        self._counters.set_model(served.name, served.located.version, served.digest, classes)


def name_model(located: Located) -> str:
    """Return what clients call a model: its name in the registry, its backbone, or the last part of its folder.

    >>> name_model(Located(Path("kept/7"), "models:/unfreeze/7", "7")), name_model(Located(Path("a/b"), "a/b"))
    ('unfreeze', 'b')
    """
    if located.name.startswith(locate.REGISTERED):
        return located.name.removeprefix(locate.REGISTERED).partition("@")[0].partition("/")[0]
    return located.folder.resolve().name
