"""A server that dies, or stops for a while, in the middle of everything: calls in flight end, then all goes on."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops a process")

EXPECTED = "{'DISCONN'}\n[[False, True], [False, True]]\n"


def test_it_dies_and_comes_back(run_script: RunScript) -> None:
    result = run_script(
        """
        from traffic import Traffic
        traffic = Traffic(P)
        try:
            began = time.monotonic()
            traffic.server.kill()
            traffic.all_end(began, 10)
            first_written = traffic.next_number()
            traffic.server.start()
            traffic.all_goes_on(0, first_written)
        finally:
            traffic.server.kill()
        """,
        timeout=100,
    )
    assert_quiet(result, EXPECTED + "['CONN_DOWN', 'CONN_UP'] True True\nfrom its beginning True\nTrue True\n")


def test_it_stops_and_goes_on(run_script: RunScript) -> None:
    """libca gives up on a server that does not answer for CONN_TMO; requests end then, late answers are dropped."""
    result = run_script(
        """
        from traffic import Traffic
        traffic = Traffic(P)
        try:
            began = time.monotonic()
            traffic.server.pause()
            traffic.all_end(began, 30)
            before = traffic.values()[-1]
            traffic.server.resume()
            traffic.all_goes_on(before)
        finally:
            traffic.server.resume()
            traffic.server.kill()
        """,
        timeout=100,
        env={"EPICS_CA_CONN_TMO": "1"},
    )
    assert_quiet(result, EXPECTED + "['CONN_DOWN', 'CONN_UP'] True True\nTrue True\n")
