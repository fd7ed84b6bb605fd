"""The server that comes and goes, and what makes it do so."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

from ioc import Ioc

HERE = Path(__file__).resolve().parent
TICKS = 10
STEP = 1_000_000  # from the values of one life to those of the next
_TYPES = ("ao", "longout", "stringout")


class Faulty(Ioc):
    """An IOC whose values tell which of its lives they are from."""

    life = 0

    def _command(self) -> list[str]:
        arguments = super()._command()
        for number in range(TICKS):
            arguments += ["--database", str(HERE / "soak.db"), f"P={self.prefix},N={number},LIFE={self.life * STEP}"]
        kind = _TYPES[self.life % len(_TYPES)]
        return [*arguments, "--database", str(HERE / "shape.db"), f"P={self.prefix},TYPE={kind}"]

    def start(self) -> None:
        self.life += 1
        super().start()


class Faults:
    """A thread that kills, stops and restarts a server at random until it is told to end; then the server runs."""

    def __init__(self, server: Faulty, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.found: list[str] = []
        self._server = server
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End it; the server is left running."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(60)

    def _sleep(self, least: float, most: float) -> None:
        self._over.wait(self._random.uniform(least, most))

    def _killed(self) -> None:
        self._server.kill()
        self._sleep(0, 2)
        self._server.start()

    def _stopped(self) -> None:
        self._server.pause()
        self._sleep(0.2, 6)
        self._server.resume()

    def _restarted(self) -> None:
        self._server.stop()
        self._server.start()

    def _killed_while_stopped(self) -> None:
        self._server.pause()
        self._sleep(0.5, 3)
        self._killed()

    def _run(self) -> None:
        kinds = {
            "killed": self._killed,
            "stopped": self._stopped,
            "restarted": self._restarted,
            "killed while stopped": self._killed_while_stopped,
        }
        while True:
            self._sleep(3, 9)
            if self._over.is_set():
                return
            kind = self._random.choices(list(kinds), (4, 3, 2, 1))[0]
            try:
                kinds[kind]()
            except Exception as error:
                # The soak itself is at fault; the loads would wait in vain.
                self.found.append(f"the server could not be {kind}: {error!r}")
                return
            self.counts[kind] += 1
