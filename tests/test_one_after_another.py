"""Programs that open and clear one channel of a server after another: the connection to the server stays meanwhile."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
from helpers import RunScript, assert_quiet

needs_proc = pytest.mark.skipif(not Path("/proc/self/net/tcp").exists(), reason="looks for connections there")

CONNECTIONS = """
port = int(os.environ["EPICS_CA_SERVER_PORT"])
def connections():
    mine, inodes = set(), set()
    for number in os.listdir("/proc/self/fd"):
        try:
            inodes.add(os.readlink("/proc/self/fd/" + number))
        except OSError:
            pass
    for line in open("/proc/self/net/tcp").readlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port and f"socket:[{fields[9]}]" in inodes:
            mine.add(fields[1])
    return mine
seen = set()
def look():
    seen.update(connections())
"""
"""Defines `connections`, the local ports of this process's connections to the IOC; `look` gathers these in `seen`."""

WAYS = {
    "the class, cleared": """
        channel = CaChannel(P + "plain")
        channel.searchw()
        channel.getw()
        look()
        channel.clear_channel()
    """,
    "the class, forgotten": """
        channel = CaChannel(P + "plain")
        channel.searchw()
        channel.getw()
        look()
        del channel
    """,
    "two at once, forgotten": """
        channels = [CaChannel(P + name) for name in ("plain", "other")]
        for channel in channels:
            channel.searchw()
        look()
        del channel, channels
    """,
    "ca, with a subscription": """
        chid, updates = connect("plain"), []
        ca.create_subscription(chid, updates.append)
        ca.flush_io()
        wait_for(lambda: updates)
        look()
        ca.clear_channel(chid)
    """,
    "a group": """
        with cachannel.ChannelGroup([P + "plain", P + "other"]) as group:
            group.get()
            look()
    """,
}
"""What is done again and again: each opens and clears channels."""


@needs_proc
@pytest.mark.parametrize("way", WAYS)
def test_the_connection_stays(run_script: RunScript, way: str) -> None:
    """A channel that came while the connection was closed would not be found for seconds."""
    code = f"""
for turn in range(60):
{textwrap.indent(textwrap.dedent(WAYS[way]), "    ")}
# A busy computer may pause for longer than the connection stays.
print("few" if 1 <= len(seen) <= 3 else len(seen))
"""
    assert_quiet(run_script(CONNECTIONS + code), "few\n")


@needs_proc
def test_the_connection_goes_when_no_channel_has_come(run_script: RunScript) -> None:
    code = """
for turn in range(3):
    chids = [connect("plain"), connect("other")]
    assert len(connections()) == 1
    for chid in chids:
        ca.clear_channel(chid)
    if turn == 2:
        wait_for(lambda: not connections())
print("gone")
"""
    assert_quiet(run_script(CONNECTIONS + code), "gone\n")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for threads and the memory in use")
def test_the_last_channel_is_closed_at_once_where_no_thread_can_be_had(run_script: RunScript) -> None:
    """A thread closes it later, as a rule."""
    code = """
from without_threads import libca_has, no_threads
chid = connect("plain")
with no_threads():
    ca.clear_channel(chid)
    print(libca_has()[0])
chid = connect("plain")
ca.clear_channel(chid)
print(libca_has()[0])
wait_for(lambda: libca_has()[0] == 0)
"""
    # As in `without_threads`.
    assert_quiet(run_script(code, env={"RUST_MIN_STACK": str(256 << 20)}), "0\n1\n")
