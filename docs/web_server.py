"""Shows PVs in a browser, live: python web_server.py [--port PORT] PV ...

/ is a page with the values, /stream the updates as server-sent events, /status who is connected to what, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
from asyncio import StreamReader, StreamWriter
from typing import Any

from cachannel import aio

PAGE = """<!DOCTYPE html>
<title>PVs</title>
<style>
body { font: 1.2em sans-serif }
td { padding: 0.2em 1em }
.Disconnected { color: gray }
.Major { color: red }
</style>
<table></table>
<script>
const table = document.querySelector("table");
new EventSource("/stream").onmessage = (event) => {
    const pv = JSON.parse(event.data);
    const row = document.getElementById(pv.name) || table.insertRow();
    row.id = pv.name;
    row.className = pv.severity;
    row.replaceChildren(...[pv.name, pv.value, pv.units, pv.severity].map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
    }));
};
</script>
"""


def as_json(value: Any) -> str:
    """An update for the browser; one without a value where the PV has disconnected."""
    if not value.ok:
        return json.dumps({"name": value.name, "value": "not connected", "units": "", "severity": "Disconnected"})
    shown = value.tolist() if hasattr(value, "tolist") else +value
    if isinstance(shown, float) and not math.isfinite(shown):
        shown = str(shown)  # JSON has no numbers for it
    units = getattr(value, "units", "")
    return json.dumps({"name": value.name, "value": shown, "units": units, "severity": value.severity.name})


async def send(name: str, writer: StreamWriter, turn: asyncio.Lock) -> None:
    """One PV's updates to one browser, the newest alone where the browser is slow."""
    pv = aio.PV(name)
    async for value in pv.updates(policy="latest", as_string=True, notify_disconnect=True):
        async with turn:
            writer.write(f"data: {as_json(value)}\n\n".encode())
            await writer.drain()


async def stream(names: list[str], reader: StreamReader, writer: StreamWriter) -> None:
    """All PVs' updates to one browser, until it goes."""
    turn = asyncio.Lock()
    senders = [asyncio.create_task(send(name, writer, turn)) for name in names]
    try:
        await reader.read()
    finally:
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)


async def asked_for(reader: StreamReader) -> str:
    """What a browser asks for; an empty text where it asks for nothing in time."""
    with contextlib.suppress(OSError, EOFError, IndexError, asyncio.LimitOverrunError, asyncio.TimeoutError):
        request = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        return request.split()[1].decode("ascii", "replace")
    return ""


async def answer(names: list[str], reader: StreamReader, writer: StreamWriter) -> None:
    """One connection of a browser: one request."""
    with contextlib.suppress(OSError), contextlib.closing(writer):
        path = await asked_for(reader)

        def begin(status: str, kind: str, body: str = "") -> None:
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
            writer.write((head + body).encode())

        if path == "/":
            begin("200 OK", "text/html; charset=utf-8", PAGE)
        elif path == "/stream":
            begin("200 OK", "text/event-stream")
            await stream(names, reader, writer)
        elif path == "/status":
            channels = aio.get_channel_infos()
            begin("200 OK", "application/json", json.dumps({pv.name: pv.subscriber_count for pv in channels}))
        else:
            begin("404 Not Found", "text/plain", "there are /, /stream and /status\n")
        await writer.drain()


async def main() -> None:
    """Serves until it is interrupted."""
    parser = argparse.ArgumentParser(description="Shows PVs in a browser, live.")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("pvs", nargs="+", metavar="PV")
    arguments = parser.parse_args()
    browsers: set[asyncio.Task[None]] = set()

    def connected(reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(answer(arguments.pvs, reader, writer))
        browsers.add(task)
        task.add_done_callback(browsers.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", arguments.port)
    host, port = server.sockets[0].getsockname()
    print(f"http://{host}:{port}/", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
