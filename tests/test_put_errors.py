"""What a value raises while it is converted: TypeError, ValueError and OverflowError mean that it does not convert."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cachannel import CaChannelException, CaChannelTypeError, CaChannelValueError, ChannelGroup, ca, epicsPV
from cachannel.util import caput
from helpers import MakeChannel, RunScript, assert_quiet


class Mine(Exception):
    """The value's own."""


class MineToo(ValueError):
    """The value's own, and a ValueError."""


class Raises:
    """Raises when asked for its number."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __float__(self) -> float:
        raise self.error

    def __str__(self) -> str:
        raise self.error


class RaisesIndex(Raises):
    def __index__(self) -> int:
        raise self.error


class RaisesAsked:
    """Raises when looked at."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        raise self.error


class RaisesItems:
    """A sequence that raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        raise self.error


class RaisesLength(RaisesItems):
    def __len__(self) -> int:
        raise self.error


class RaisesRepr:
    """Does not convert, and cannot be shown."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error


OTHERS = [KeyboardInterrupt(), SystemExit(3), MemoryError("of the value"), Mine(), ZeroDivisionError(), LookupError()]
REFUSALS = [
    (TypeError("told"), CaChannelTypeError),
    (ValueError("told"), CaChannelValueError),
    (OverflowError("told"), CaChannelValueError),
    (MineToo("told"), CaChannelValueError),
]
KINDS = [Raises, RaisesIndex, RaisesItems, RaisesLength]
WRAPS = [
    lambda value: value,
    lambda value: [1, value],
    lambda value: (value,),
    lambda value: np.array([value, 1], object),
]


def puts(make_channel: MakeChannel, prefix: str, name: str) -> list[Any]:
    channel = make_channel(name)
    pv = epicsPV.epicsPV(prefix + name)
    _, gid = ca.sg_create()
    return [
        channel.putw,
        channel.array_put,
        lambda value: channel.array_put_callback(value, None, None, lambda *_: None),
        lambda value: ca.put(channel._chid, value),
        pv.putWait,
        lambda value: ca.sg_put(gid, channel._chid, value),
        lambda value: caput(prefix + name, value),
        lambda value: caput(prefix + name, value, wait=True),
        lambda value: caput(prefix + name, value, throw=False),
    ]


@pytest.mark.parametrize("name", ["wfDOUBLE", "wfLONG", "wfSTRING", "wfCHAR", "wfENUM", "catest"])
@pytest.mark.parametrize("kind", [*KINDS, RaisesAsked])
def test_other_exceptions_come_through(make_channel: MakeChannel, prefix: str, name: str, kind: Any) -> None:
    channel = make_channel(name)
    channel.putw("1" if name == "wfSTRING" else 1)
    before = channel.getw()
    for error in OTHERS:
        value = kind(error)
        wraps = WRAPS if kind in (Raises, RaisesIndex) else WRAPS[:1]
        for wrap in wraps:
            given = wrap(value)
            if name == "catest" and isinstance(given, (list, np.ndarray)):
                continue  # only the first is looked at
            for put in puts(make_channel, prefix, name):
                with pytest.raises(type(error)) as caught:
                    put(given)
                assert caught.value is error
        with ChannelGroup([prefix + name, prefix + "plain"]) as group:
            with pytest.raises(type(error)) as caught:
                group.put([value, 1])
            assert caught.value is error
            if kind in (RaisesItems, RaisesLength):
                with pytest.raises(type(error)):
                    group.put(value)
    assert channel.getw() == before


@pytest.mark.parametrize("name", ["wfDOUBLE", "wfLONG", "wfSTRING"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("error", "raised"), REFUSALS)
def test_what_does_not_convert_has_its_cause(
    make_channel: MakeChannel, prefix: str, name: str, kind: Any, error: Exception, raised: Any
) -> None:
    value = kind(error)
    for put in puts(make_channel, prefix, name)[:-1]:
        with pytest.raises(raised) as caught:
            put(value)
        cause = caught.value.__cause__
        # float() makes a TypeError of its own where __index__ says that it is no number.
        assert cause is error or isinstance(cause, TypeError)
        assert (caught.value.pvname, caught.value.status) == (prefix + name, ca.ECA_NOCONVERT)
    with ChannelGroup([prefix + name, prefix + "plain"]) as group, pytest.raises(raised) as caught:
        group.put([value, 1])
    assert isinstance(caught.value.__cause__, type(error))


@pytest.mark.parametrize("value", [None, {}, 2j, object(), [None], np.array([None])])
def test_python_says_why(make_channel: MakeChannel, value: Any) -> None:
    with pytest.raises(CaChannelTypeError) as caught:
        make_channel("catest").putw(value)
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_surrogate_is_the_cause(make_channel: MakeChannel) -> None:
    for name in ("castr", "cabo", "wfCHAR", "catest"):
        with pytest.raises(CaChannelValueError) as caught:
            make_channel(name).putw("a\ud800")
        assert isinstance(caught.value.__cause__, UnicodeEncodeError)


def test_a_value_that_cannot_be_shown(make_channel: MakeChannel) -> None:
    channel = make_channel("catest")
    with pytest.raises(CaChannelTypeError, match="the value of type RaisesRepr"):
        channel.putw(RaisesRepr(Mine()))
    for error in (KeyboardInterrupt(), SystemExit(), MemoryError()):
        with pytest.raises(type(error)):
            channel.putw(RaisesRepr(error))


@pytest.mark.parametrize("error", OTHERS)
def test_arguments_too(make_channel: MakeChannel, error: BaseException) -> None:
    channel = make_channel("wfLONG")
    value = RaisesIndex(error)
    for call in (
        lambda: channel.array_put(1, value),
        lambda: channel.array_put(1, None, value),
        lambda: channel.array_get(value),
        lambda: channel.getw(None, value),
        lambda: channel.add_masked_array_event(None, None, value, lambda *_: None),
        lambda: channel.setTimeout(value),
        lambda: channel.pend_io(value),
    ):
        with pytest.raises(type(error)):
            call()
    refusal = RaisesIndex(ValueError("told"))
    for call in (
        lambda: channel.array_put(1, refusal),
        lambda: channel.array_put(1, None, refusal),
        lambda: channel.setTimeout(refusal),
    ):
        with pytest.raises(CaChannelException) as caught:
            call()
        assert isinstance(caught.value.__cause__, ValueError)


def test_ctrl_c_during_a_conversion(run_script: RunScript) -> None:
    """All of twenty exceptions come with their own type."""
    result = run_script(
        """
        import contextlib, signal
        from cachannel import CaChannelValueError
        from fractions import Fraction
        channel = CaChannel(P + "big")
        channel.searchw()
        # Nothing of it is sent: the last one does not convert.
        values = [*(Fraction(number, 7) for number in range(200_000)), "x"]
        for round in range(20):
            begun = threading.Event()
            def press():
                begun.wait()
                time.sleep(0.002 + 0.001 * round)
                os.kill(os.getpid(), signal.SIGINT)
            thread = threading.Thread(target=press)
            thread.start()
            try:
                begun.set()
                while True:
                    with contextlib.suppress(CaChannelValueError):
                        channel.array_put(values)
            except KeyboardInterrupt:
                pass
            thread.join()
        print("all")
        """
    )
    assert_quiet(result, "all\n")


def test_ctrl_c_where_no_python_code_runs(run_script: RunScript) -> None:
    result = run_script(
        """
        import contextlib, subprocess
        from cachannel import CaChannelValueError
        channel = CaChannel(P + "big")
        channel.searchw()
        texts = ["1.5"] * 3_999_999 + ["x"]
        for _ in range(3):
            # A process of its own: a thread would have to wait for the interpreter's lock.
            command = f"sleep 0.3; date +%s.%N; kill -INT {os.getpid()}"
            press = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)
            try:
                while True:
                    with contextlib.suppress(CaChannelValueError):
                        channel.array_put(texts)
            except KeyboardInterrupt:
                ended = time.time()
            pressed = float(press.communicate()[0])
            assert ended - pressed < 1, ended - pressed
        print("all")
        """
    )
    assert_quiet(result, "all\n")
