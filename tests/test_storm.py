"""Threads in a storm: 32 of them make, use, share and drop channels at random, and each value is checked."""

from __future__ import annotations

import secrets

from helpers import RunScript


def test_storm(run_script: RunScript) -> None:
    """A short storm; ``python tests/storm.py SECONDS SEED`` runs a longer one, or repeats one that failed here."""
    result = run_script(
        f"""
        import storm
        names = [f"{{P}}many{{tens}}_{{ones}}" for tens in range(15) for ones in range(10)]
        counts = storm.storm(8, {secrets.randbelow(1 << 32)}, names)
        print(min(counts.values()) > 0, len(counts))
        """,
        timeout=55,
    )
    assert (result.returncode, result.stdout) == (0, "True 14\n"), result.stderr
