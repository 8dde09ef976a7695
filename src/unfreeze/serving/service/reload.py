"""Watches where a model lies, and exchanges the one that answers when there is another version."""

import threading
from collections.abc import Callable

from unfreeze.errors import UnfreezeError
from unfreeze.runtime import console
from unfreeze.serving.locate import Located
from unfreeze.serving.service.counters import Counters
from unfreeze.serving.service.served import Served, Shelf

# Checks that a version is left out for after it could not be loaded.
CHECKS_TO_SKIP = 10
SECONDS_TO_END = 2.0


class Watcher:
    """A thread that asks again and again which version is wanted.

    A new one is loaded aside and tried on its example; then it answers all requests that begin from then on. If
    anything fails, the present one stays, and log and counters say so.

    Args:
        locate: Says where the wanted version lies, and fetches it first where it has to.
        shelf: Holds the model that answers.
        counters: Those of the service.
        seconds: Between two checks.
    """

    def __init__(
        self, locate: Callable[[], Located], shelf: Shelf, counters: Counters, *, seconds: float = 10.0
    ) -> None:
        self._locate = locate
        self._shelf = shelf
        self._counters = counters
        self._seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="reload", daemon=True)
        self._said = ""
        self._failed: Located | None = None
        self._reason = ""
        self._skipped = 0

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def end(self) -> None:
        """Stop watching; a check that waits for the registry is not waited for."""
        self._ended.set()
        self._thread.join(SECONDS_TO_END)

    def check(self) -> bool:
        """Check once, and exchange the model where another one is wanted.

        Returns:
            Whether it was exchanged.
        """
        try:
            wanted = self._locate()
            if not self._is_new(wanted):
                self._counters.set_failing(bool(wanted.note))
                self._say(wanted.note)
                return False
            served = self._load(wanted)
        # Whatever goes wrong with a new version, the present one answers.
        except Exception as error:
            self._counters.count_reload("failed")
            kept = self._describe(self._shelf.current.located)
            text = " ".join(str(error).split()) or type(error).__name__
            self._say(f"no other version is taken, {kept} goes on answering: {text}")
            return False
        self._shelf.put(served)
        self._counters.count_reload("swapped")
        self._said = ""
        console.log.info("%s answers from now on", self._describe(wanted))
        return True

    def _is_new(self, wanted: Located) -> bool:
        present = self._shelf.current.located
        return (wanted.folder, wanted.version) != (present.folder, present.version)

    def _load(self, wanted: Located) -> Served:
        if self._failed and (wanted.folder, wanted.version) == (self._failed.folder, self._failed.version):
            self._skipped += 1
            if self._skipped < CHECKS_TO_SKIP:
                raise UnfreezeError(self._reason)
        self._failed, self._skipped = None, 0
        try:
            return Served.load(wanted, self._counters)
        except Exception as error:
            self._failed, self._reason = wanted, str(error)
            raise

    def _say(self, text: str) -> None:
        """Log a state once, until it changes."""
        if text and text != self._said:
            console.log.warning("%s", text)
        self._said = text

    def _describe(self, located: Located) -> str:
        version = f" version {located.version}" if located.version else f" ({located.folder.name})"
        return f"{self._shelf.current.name}{version}"

    def _watch(self) -> None:
        while not self._ended.wait(self._seconds):
            self.check()
