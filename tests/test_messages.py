"""What libca and libCom have to say goes to logging, whichever way they say it, or to the program's handler."""

from __future__ import annotations

import sys

import pytest
from conftest import SERVER_PORT
from helpers import Connect, RunScript, assert_quiet, write
from server_process import free_port

RECORDS = """
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    def texts():
        return [record.getMessage() for record in records if record.name == "cachannel.libca"]
    def said(what):
        return [text for text in texts() if what in text]
"""

# A server that answers every search, and does something else than it should to who connects.
SERVER = """
    import socket, struct
    def server(treat, delay=0.0):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp = socket.socket()
        udp.bind(("127.0.0.1", FAKE))
        tcp.bind(("127.0.0.1", FAKE))
        tcp.listen()
        def answer():
            while True:
                request, client = udp.recvfrom(2048)
                while len(request) >= 16:
                    command, size, _, _, cid, _ = struct.unpack(">HHHHII", request[:16])
                    if command == 6:
                        time.sleep(delay)
                        reply = struct.pack(">HHHHIIHHI", 6, 8, FAKE, 0, 0xFFFFFFFF, cid, 13, 0, 0)
                        udp.sendto(struct.pack(">HHHHII", 0, 0, 0, 13, 0, 0) + reply, client)
                    request = request[16 + size:]
        def accept():
            while True:
                treat(tcp.accept()[0])
        for work in (answer, accept):
            threading.Thread(target=work, daemon=True).start()
"""


RESET = """
    def reset(client):
        client.recv(16)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    server(reset)
"""


@pytest.fixture
def fake() -> dict[str, str]:
    """The variables for a program with such a server."""
    port = free_port()
    return {"EPICS_CA_ADDR_LIST": f"127.0.0.1:{SERVER_PORT} 127.0.0.1:{port}", "FAKE": str(port)}


def test_nobody_listens_where_a_name_server_should(run_script: RunScript) -> None:
    result = run_script(
        RECORDS
        + """
    with CaChannel(P + "calong"):
        wait_for(lambda: said("Unable to connect"))
    print(said("Unable to connect")[0])
    """,
        env={"EPICS_CA_NAME_SERVERS": f"127.0.0.1:{free_port()}"},
    )
    assert_quiet(result, 'CAC: Unable to connect because "Connection refused"\n')


def test_standard_error_that_nobody_reads(run_script: RunScript) -> None:
    """Messages go to standard error where no context delivers them. A failure of that must not end the program."""
    result = run_script(
        """
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    os.close(reader)
    # It asks the name server, which is not there, before it searches for this.
    ca.create_context(False)
    connect("calong")
    ca.destroy_context()
    print("lives")
    """,
        env={"EPICS_CA_NAME_SERVERS": f"127.0.0.1:{free_port()}"},
    )
    assert (result.returncode, result.stdout) == (0, "lives\n")


def test_a_circuit_that_is_reset(run_script: RunScript, fake: dict[str, str]) -> None:
    result = run_script(
        RECORDS
        + "    FAKE = int(os.environ['FAKE'])\n"
        + SERVER
        + RESET
        + """
    channel = CaChannel("no-such-pv")
    channel.search()
    channel.flush_io()
    wait_for(lambda: said("Unexpected problem with CA circuit"))
    print({record.levelname for record in records})
    """,
        env=fake,
    )
    assert_quiet(result, "{'WARNING'}\n")


def test_a_server_that_goes_away(run_script: RunScript, fake: dict[str, str]) -> None:
    result = run_script(
        RECORDS
        + "    FAKE = int(os.environ['FAKE'])\n"
        + SERVER
        + """
    def close(client):
        client.recv(16)
        client.sendall(struct.pack(">HHHHII", 0, 0, 0, 13, 0, 0))
        client.recv(2048)
        client.close()
    server(close)
    channel = CaChannel("no-such-pv")
    channel.search()
    channel.flush_io()
    wait_for(lambda: said("Virtual circuit disconnect"))
    print("ok")
    """,
        env=fake,
    )
    assert_quiet(result, "ok\n")


def test_a_pv_that_two_servers_have(run_script: RunScript, fake: dict[str, str]) -> None:
    result = run_script(
        RECORDS
        + "    FAKE = int(os.environ['FAKE'])\n"
        + SERVER
        + """
    server(lambda client: None, delay=0.5)
    channel = CaChannel(P + "calong")
    channel.searchw()
    wait_for(lambda: said("Identical process variable names on multiple servers"))
    print(channel.getw(), P + "calong" in said("Identical process")[0])
    """,
        env=fake,
    )
    assert_quiet(result, "5 True\n")


def test_a_handler_of_the_program_gets_them(run_script: RunScript, fake: dict[str, str]) -> None:
    result = run_script(
        RECORDS
        + "    FAKE = int(os.environ['FAKE'])\n"
        + SERVER
        + RESET
        + """
    messages = []
    ca.replace_printf_handler(messages.append)
    channel = CaChannel("no-such-pv")
    channel.search()
    channel.flush_io()
    wait_for(lambda: any("Unexpected problem with CA circuit" in message for message in messages))
    print(texts())
    """,
        env=fake,
    )
    assert_quiet(result, "[]\n")


LOG = """
    import ctypes
    from pathlib import Path
    com = next(Path(cachannel.libca_path()).parent.glob("libCom.so.*"))
    com = ctypes.CDLL(str(com))
    with CaChannel(P + "calong") as channel:
        channel.getw()
        com.errlogPrintf(b"from the IOC\\n")
        com.errlogFlush()
"""


def test_the_error_log_of_a_program_without_ioc(run_script: RunScript) -> None:
    result = run_script(RECORDS + LOG + '    wait_for(lambda: said("from the IOC"))\n')
    assert_quiet(result, "")


@pytest.mark.parametrize("module", ["softioc.softioc", "epicscorelibs.ioc"])
def test_the_error_log_of_a_program_with_an_ioc_is_the_iocs(run_script: RunScript, module: str) -> None:
    result = run_script(f"    import {module}\n" + RECORDS + LOG + "    print(said('from the IOC'))\n")
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "from the IOC\n")


@pytest.mark.parametrize("module", ["softioc.softioc", "epicscorelibs.ioc"])
@pytest.mark.skipif(sys.platform == "win32", reason="there the console is not given back")
def test_the_error_log_of_an_ioc_that_comes_later(run_script: RunScript, module: str) -> None:
    """Every message once, in order, also of those that come while libCom gets its console back."""
    script = (
        RECORDS
        + LOG
        + f"""
    wait_for(lambda: said("from the IOC"))
    records.clear()
    import {module}
    for number in range(2000):
        com.errlogPrintf(b"%d\\n", number)
        if number % 100 == 0:
            com.errlogFlush()
    com.errlogFlush()
    with CaChannel(P + "calong") as channel:
        channel.getw()
    print(texts())
    """
    )
    result = run_script(script)
    lines = "".join(f"{number}\n" for number in range(2000))
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", lines)


def test_a_flood_of_one_message(run_script: RunScript, connect: Connect) -> None:
    """libca prints a message for each packet of an answer that it drops."""
    write(connect("big"), [1.5] * 4_000_000)
    result = run_script(
        RECORDS
        + """
    channel = CaChannel(P + "big")
    channel.setTimeout(10)
    channel.searchw()
    channel.setTimeout(1)
    try:
        channel.getw()
    except CaChannelException as error:
        print(error.status, error)
    from cachannel.util import caget
    for wanted in (P + "big", [P + "calong", P + "big"]):
        try:
            caget(wanted, timeout=1)
        except CaChannelException as error:
            print(error.status, error.pvname[len(P):], "libca has dropped an answer" in str(error))
    channel.array_get()
    try:
        channel.pend_io(1)
    except CaChannelException as error:
        print(error.status, "libca has dropped an answer" in str(error))
    wait_for(lambda: said("EPICS_CA_MAX_ARRAY_BYTES ignored"))
    print(len(records) < 20, "set EPICS_CA_MAX_ARRAY_BYTES to more" in said("EPICS_CA_MAX_ARRAY_BYTES ignored")[0])
    # An answer that is small enough comes.
    channel.setTimeout(20)
    print(len(channel.getw(count=100)))
    # A timeout for another reason does not name this one.
    stop_server(connect("calong"))
    channel.setTimeout(1)
    try:
        channel.getw(count=100)
    except CaChannelException as error:
        print(error.status, "larger" in str(error))
    """,
        env={"EPICS_CA_AUTO_ARRAY_BYTES": "NO", "EPICS_CA_MAX_ARRAY_BYTES": "20000"},
    )
    write(connect("big"), [1.5])
    first, *others = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "")
    assert first.startswith("ECA.TIMEOUT ")
    assert "larger than EPICS_CA_MAX_ARRAY_BYTES" in first
    assert others == [
        *["ECA.TIMEOUT big True"] * 2,
        "ECA.TIMEOUT True",
        "True True",
        "100",
        "ECA.TIMEOUT False",
    ]


def test_what_a_server_refuses_over_and_over_is_a_few_lines(run_script: RunScript) -> None:
    """Each put without a callback that fails is an exception; without a handler, it goes to logging."""
    result = run_script(
        RECORDS
        + """
    from cachannel import ca
    with CaChannel(P + "calong") as channel:
        channel.searchw()
        for _ in range(200):
            channel.array_put("no number", ca.DBR_STRING)
        channel.flush_io()
        wait_for(lambda: len(said("PUT")) >= 2)
        channel.getw()
    first, rest = said("PUT")
    assert rest == f"{first} (and 199 times more within a second)", rest
    print(first.replace(P, ""))
    """
    )
    assert_quiet(result, "calong: Channel write request failed (PUT; calong)\n")
