"""Exception and printf handlers, and the log that has what no handler takes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from cachannel import CaChannel, ca
from helpers import Connect, MakeChannel, RunScript, assert_quiet, read, write
from server_process import wait_for


@pytest.fixture(autouse=True)
def restore_handlers() -> Iterator[None]:
    yield
    ca.add_exception_event()
    ca.replace_printf_handler()


def refused_put(chid: Any) -> None:
    """A put that the server refuses, with no callback that would hear of it."""
    assert ca.put(chid, "Nonsense") == ca.ECA_NORMAL
    ca.flush_io()


def test_exception_handler(connect: Connect, prefix: str) -> None:
    chid = connect("cabo")
    events: list[dict[str, Any]] = []
    assert ca.add_exception_event(events.append) is ca.ECA.NORMAL
    refused_put(chid)
    wait_for(lambda: events)
    args = events[0]
    assert set(args) == {"chid", "type", "count", "state", "op", "ctx", "file", "lineNo"}
    assert ca.name(args["chid"]) == prefix + "cabo"
    assert args["type"] is ca.DBR.STRING
    assert args["count"] == 1
    assert args["state"] is ca.ECA.PUTFAIL
    assert args["op"] is ca.CA_OP.PUT
    assert isinstance(args["ctx"], str)
    assert isinstance(args["file"], str)
    assert isinstance(args["lineNo"], int)


def test_exception_handler_is_replaced_and_removed(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    chid = connect("cabo")
    first: list[Any] = []
    second: list[Any] = []
    ca.add_exception_event(first.append)
    ca.add_exception_event(callback=second.append)
    refused_put(chid)
    wait_for(lambda: second)
    assert first == []
    with caplog.at_level(logging.DEBUG, "cachannel"):
        assert ca.add_exception_event() is ca.ECA.NORMAL
        refused_put(chid)
        wait_for(lambda: "Channel write request failed" in caplog.text)
    assert len(second) == 1


def test_exception_handler_does_not_hear_of_what_a_callback_hears(connect: Connect) -> None:
    chid = connect("cabo")
    exceptions: list[Any] = []
    done: list[Any] = []
    ca.add_exception_event(exceptions.append)
    ca.put(chid, "Nonsense", callback=done.append)
    ca.get(connect("castr"), ca.DBR_DOUBLE, callback=done.append)
    ca.flush_io()
    wait_for(lambda: len(done) == 2)
    assert {args["status"] for args in done} == {ca.ECA_PUTFAIL, ca.ECA_GETFAIL}
    ca.poll()
    assert exceptions == []


def test_libcas_messages_are_logged(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "cachannel"):
        refused_put(connect("cabo"))
        wait_for(lambda: "Channel write request failed" in caplog.text)
    assert {record.name for record in caplog.records} <= {"cachannel", "cachannel.libca"}


def test_printf_handler(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    messages: list[Any] = []
    assert ca.replace_printf_handler(messages.append) is ca.ECA.NORMAL
    with caplog.at_level(logging.DEBUG, "cachannel"):
        refused_put(connect("cabo"))
        wait_for(lambda: "Channel write request failed" in "".join(messages))
    assert {type(message) for message in messages} == {str}
    assert "Channel write request failed" not in caplog.text
    messages.clear()
    assert ca.replace_printf_handler() is ca.ECA.NORMAL
    with caplog.at_level(logging.DEBUG, "cachannel"):
        refused_put(connect("cabo"))
        wait_for(lambda: "Channel write request failed" in caplog.text)
    assert messages == []


def test_handlers_of_the_class(make_channel: MakeChannel, prefix: str) -> None:
    channel = make_channel("cabo")
    exceptions: list[tuple[Any, Any]] = []
    messages: list[tuple[Any, Any]] = []
    CaChannel.add_exception_event(lambda args, user_args: exceptions.append((args, user_args)), ["mine"])
    channel.array_put("Nonsense")
    channel.flush_io()
    wait_for(lambda: exceptions)
    args, user_args = exceptions[0]
    assert set(args) == {"chid", "type", "count", "state", "op", "ctx", "file", "lineNo"}
    assert ca.name(args["chid"]) == prefix + "cabo"
    assert user_args == ["mine"]  # as given
    CaChannel.add_exception_event()
    CaChannel.replace_printf_handler(lambda message, user_args: messages.append((message, user_args)), "u")
    channel.array_put("Nonsense")
    channel.flush_io()
    wait_for(lambda: messages)
    assert isinstance(messages[0][0], str)
    assert messages[0][1] == "u"
    CaChannel.replace_printf_handler(None)


@pytest.mark.parametrize("nothing", [None, 5, "text"])
def test_the_class_takes_what_is_not_callable_as_none(nothing: Any) -> None:
    CaChannel.add_exception_event(nothing)
    CaChannel.replace_printf_handler(nothing)


def test_user_args_default_to_none(make_channel: MakeChannel) -> None:
    seen: list[Any] = []
    CaChannel.add_exception_event(lambda args, user_args: seen.append(user_args))
    channel = make_channel("cabo")
    channel.array_put("Nonsense")
    channel.flush_io()
    wait_for(lambda: seen)
    assert seen == [None]


def test_an_exception_in_a_callback_is_logged_and_the_next_runs(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    chid = connect("calong")
    write(chid, 5)
    values: list[int] = []

    def bad(args: dict[str, Any]) -> None:
        raise RuntimeError("from the callback")

    with caplog.at_level(logging.DEBUG, "cachannel"):
        ca.get(chid, callback=bad)
        ca.get(chid, callback=lambda args: values.append(args["value"]))
        ca.flush_io()
        wait_for(lambda: values)
        wait_for(lambda: "from the callback" in caplog.text)
    assert values == [5]
    records = [record for record in caplog.records if record.name == "cachannel"]
    assert len(records) == 1
    assert records[0].levelno >= logging.ERROR
    assert records[0].exc_info is not None
    assert "def bad" in caplog.text or "in bad" in caplog.text  # with the traceback


def test_an_exception_in_a_subscription_does_not_end_it(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    chid = connect("plain")
    write(chid, 0)
    seen: list[float] = []

    def callback(args: dict[str, Any]) -> None:
        seen.append(args["value"])
        raise ValueError("again")

    with caplog.at_level(logging.DEBUG, "cachannel"):
        status, evid = ca.create_subscription(chid, callback)
        ca.flush_io()
        wait_for(lambda: len(seen) == 1)
        write(chid, 1)
        wait_for(lambda: len(seen) == 2)
    ca.clear_subscription(evid)
    assert status == ca.ECA_NORMAL
    assert seen == [0.0, 1.0]


def test_the_log_goes_to_stderr_unless_configured(run_script: RunScript) -> None:
    result = run_script(
        """
        chid = connect("calong")
        done = []
        def bad(args):
            done.append(1)
            raise RuntimeError("from the callback")
        ca.get(chid, callback=bad)
        ca.flush_io()
        wait_for(lambda: done)
        ca.poll()
        """
    )
    assert result.returncode == 0
    assert "Traceback (most recent call last)" in result.stderr
    assert "RuntimeError: from the callback" in result.stderr
    assert "in bad" in result.stderr
    assert result.stderr.count("from the callback") == result.stderr.count('RuntimeError("from') + 1


def test_the_log_can_be_sent_elsewhere(run_script: RunScript, tmp_path: Any) -> None:
    log = tmp_path / "log"
    result = run_script(
        f"""
        logging.basicConfig(filename={str(log)!r}, level=logging.INFO)
        chid = connect("calong")
        done = []
        def bad(args):
            done.append(1)
            raise RuntimeError("from the callback")
        ca.get(chid, callback=bad)
        ca.flush_io()
        wait_for(lambda: done)
        ca.poll()
        """
    )
    assert_quiet(result, "")
    assert "RuntimeError: from the callback" in log.read_text()


def test_a_callback_with_the_wrong_signature(run_script: RunScript) -> None:
    result = run_script(
        """
        chid = connect("calong")
        ca.get(chid, callback=lambda: None)
        done = []
        ca.get(chid, callback=done.append)
        ca.flush_io()
        wait_for(lambda: done)
        print("ok")
        """
    )
    assert (result.returncode, result.stdout) == (0, "ok\n")
    assert "TypeError" in result.stderr


def test_a_handler_that_raises(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    def bad(args: Any) -> None:
        raise RuntimeError("from the handler")

    with caplog.at_level(logging.DEBUG, "cachannel"):
        ca.add_exception_event(bad)
        refused_put(connect("cabo"))
        wait_for(lambda: "from the handler" in caplog.text)
        ca.add_exception_event()
        caplog.clear()
        ca.replace_printf_handler(bad)
        refused_put(connect("cabo"))
        wait_for(lambda: "from the handler" in caplog.text)
    assert isinstance(read(connect("calong")), int)
