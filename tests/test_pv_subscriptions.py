"""Subscriptions of class PV: values with time, alarm and properties in one callback, as they are then."""

from __future__ import annotations

import gc
import logging
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cachannel import PV, CaChannelException, Subscription, ca
from conftest import HARD_LIMIT, RESTART_PORT
from helpers import RunScript, assert_quiet
from ioc import HERE, Ioc
from server_process import free_port, wait_for
from test_pv import MakePV, pv, raised

__all__ = ["pv"]

# A reconnect takes libca some seconds where a beacon goes astray.
LONG = 40.0


class Held:
    """Holds up the thread that runs the callbacks."""

    def __init__(self, pv: PV) -> None:
        self._entered, self._go_on = threading.Event(), threading.Event()
        self._subscription = pv.subscribe(self._wait)
        assert self._entered.wait(10)

    def _wait(self, value: Any) -> None:
        self._entered.set()
        self._go_on.wait(30)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: object) -> None:
        self._go_on.set()
        self._subscription.close()


def test_the_value_now_and_whenever_it_changes(pv: MakePV) -> None:
    test = pv("catest")
    test.put(1, wait=True)
    got: list[Any] = []
    subscription = test.subscribe(got.append)
    assert isinstance(subscription, Subscription)
    assert (subscription.name, subscription.closed, subscription.dropped) == (test.name, False, 0)
    assert repr(subscription) == f"<Subscription to {test.name!r}>"
    assert subscription.callback == got.append
    wait_for(lambda: got == [1])
    test.put(12.5, wait=True)
    wait_for(lambda: got == [1, 12.5])
    value = got[-1]
    assert (value.units, value.precision, value.name, value.ok) == ("mm", 4, test.name, True)
    assert (value.severity, value.status) == (ca.AlarmSeverity.Minor, ca.AlarmCondition.High)
    assert abs(value.timestamp - time.time()) < 60
    subscription.close()
    assert subscription.closed
    test.put(0, wait=True)
    ca.poll()
    assert got == [1, 12.5]
    subscription.close()


def test_a_change_of_the_properties_calls_back(pv: MakePV) -> None:
    test, enum = pv("plain"), pv("latin")
    units, precision, high, state = pv("plain.EGU"), pv("plain.PREC"), pv("plain.HOPR"), pv("latin.ZRST")
    # Other tests may have written these.
    for field, name in (("ZRST", "none"), ("ONST", "some"), ("TWST", "all")):
        pv(f"latin.{field}").put(name, wait=True)
    enum.put(0, wait=True)
    values: list[Any] = []
    texts: list[Any] = []
    with test.subscribe(values.append), enum.subscribe(texts.append, as_string=True):
        wait_for(lambda: values and texts)
        assert (values[-1].units, texts[-1], texts[-1].enums[0]) == ("", "none", "none")
        units.put("kV")
        wait_for(lambda: values[-1].units == "kV")
        precision.put(1)
        wait_for(lambda: values[-1].precision == 1)
        high.put(30)
        wait_for(lambda: values[-1].upper_disp_limit == 30)
        assert [value.units for value in values[-3:]] == ["kV"] * 3
        state.put("off")
        wait_for(lambda: texts[-1] == "off")
        assert texts[-1].enums == ["off", "some", "all"]
        units.put("")
        precision.put(3)
        high.put(0)
        state.put("none")
        wait_for(lambda: (values[-1].units, values[-1].precision, values[-1].upper_disp_limit) == ("", 3, 0))
        wait_for(lambda: texts[-1] == "none")


def test_masks(pv: MakePV) -> None:
    test, units = pv("plain"), pv("plain.EGU")
    test.put(0, wait=True)
    values: list[Any] = []
    properties: list[Any] = []
    both: list[Any] = []
    with (
        test.subscribe(values.append, mask=ca.DBE_VALUE),
        test.subscribe(properties.append, mask=ca.DBE_PROPERTY),
        test.subscribe(both.append),
    ):
        wait_for(lambda: values and properties and both)
        units.put("A", wait=True)
        test.put(1, wait=True)
        wait_for(lambda: values[-1] == both[-1] == 1)
        units.put("", wait=True)
        wait_for(lambda: len(properties) == 3 and len(both) == 4)
        ca.poll()
        assert [(value, value.units) for value in values] == [(0, ""), (1, "A")]
        assert [(value, value.units) for value in properties] == [(0, ""), (0, "A"), (1, "")]
        assert [(value, value.units) for value in both] == [(0, ""), (0, "A"), (1, "A"), (1, "")]
    for mask in (0, 16, -1, None, 1.0):
        raised(ValueError, test.subscribe, print, mask=mask)


def test_what_is_no_callback(pv: MakePV) -> None:
    for wrong in (None, 5, "print"):
        raised(TypeError, pv("catest").subscribe, wrong)


def test_several_have_nothing_to_do_with_each_other(pv: MakePV) -> None:
    test = pv("count")
    test.put(0, wait=True)
    got: list[list[Any]] = [[] for _ in range(5)]
    subscriptions = [test.subscribe(each.append) for each in got]
    wait_for(lambda: got == [[0]] * 5)
    subscriptions[1].close()
    with subscriptions[3]:
        test.put(1, wait=True)
        wait_for(lambda: got == [[0, 1], [0], [0, 1], [0, 1], [0, 1]])
    test.put(2, wait=True)
    wait_for(lambda: got == [[0, 1, 2], [0], [0, 1, 2], [0, 1], [0, 1, 2]])
    assert [one.closed for one in subscriptions] == [False, True, False, True, False]
    assert test.get() == 2


def test_a_callback_that_raises_is_logged_and_goes_on(pv: MakePV, caplog: pytest.LogCaptureFixture) -> None:
    test = pv("count")
    test.put(0, wait=True)
    got: list[Any] = []

    def fails(value: Any) -> None:
        got.append(value)
        raise RuntimeError("of no use")

    with caplog.at_level(logging.ERROR), test.subscribe(fails):
        wait_for(lambda: got == [0])
        test.put(1, wait=True)
        wait_for(lambda: got == [0, 1])
    wait_for(lambda: "of no use" in caplog.text)


def test_a_callback_may_close_itself_and_subscribe(pv: MakePV) -> None:
    test = pv("count")
    test.put(0, wait=True)
    got: list[Any] = []
    others: list[Any] = []
    made: list[Subscription] = []

    def once(value: Any) -> None:
        got.append(value)
        made[0].close()
        made.append(test.subscribe(others.append))

    with Held(pv("calong")):
        made.append(test.subscribe(once))
    wait_for(lambda: others == [0])
    test.put(1, wait=True)
    wait_for(lambda: others == [0, 1])
    assert got == [0]
    made[1].close()


def test_counts_and_types(pv: MakePV) -> None:
    wave, test, text, enum = pv("cawave"), pv("plain"), pv("cawavec"), pv("cabo")
    wave.put([1, 2, 3], wait=True)
    text.put("text", wait=True)
    enum.put(0, wait=True)
    test.put(2.75, wait=True)
    cases: list[tuple[PV, dict[str, Any], Any]] = [
        (wave, {}, [1, 2, 3]),
        (wave, {"count": 2}, [1, 2]),
        (wave, {"count": 1}, 1.0),
        (wave, {"datatype": ca.DBR_LONG}, [1, 2, 3]),
        (text, {"as_string": True}, "text"),
        (text, {"count": 2}, list(b"te")),
        (enum, {"as_string": True}, "Done"),
        (enum, {"datatype": str}, "Done"),
        (enum, {}, 0),
        (test, {"as_string": True}, 2.75),
        (test, {"datatype": ca.DBR_LONG}, 2),
        (test, {"datatype": str}, "2.750"),
        (test, {"datatype": ca.DBR_CTRL_DOUBLE}, 2.75),
        (test, {"datatype": ca.DBR_STSACK_STRING}, "2.750"),
    ]
    for one, options, wanted in cases:
        got: list[Any] = []
        with one.subscribe(got.append, **options):
            wait_for(lambda got=got: got, 10, f"{options}")
        value = got[0].tolist() if hasattr(got[0], "tolist") else +got[0]
        assert (value, type(value)) == (wanted, type(wanted)), options
        if one is not enum:
            assert got[0].units == one.units, options


def test_without_the_first(pv: MakePV) -> None:
    test = pv("count")
    test.put(0, wait=True)
    got: list[Any] = []
    with test.subscribe(got.append, first=False), test.subscribe(lambda value: got.append(str(value))):
        wait_for(lambda: got == ["0"])
        test.put(1, wait=True)
        wait_for(lambda: sorted(got, key=str) == ["0", 1, "1"] or sorted(map(str, got)) == ["0", "1", "1"])
        ca.poll()
    assert [value for value in got if not isinstance(value, str)] == [1]


def test_without_the_first_where_that_is_dropped(pv: MakePV) -> None:
    """It is no longer there to be passed over: the newest is none of it."""
    test, other = pv("count"), pv("calong")
    test.put(0, wait=True)
    got: list[Any] = []
    with Held(other):
        subscription = test.subscribe(got.append, first=False, latest_only=True)
        assert test.get() == 0  # the server has the subscription
        for count in range(1, 4):
            test.put(count, wait=True)
    wait_for(lambda: got == [3], 10, f"{got}")
    assert subscription.dropped == 2
    subscription.close()


def test_the_latest_only(pv: MakePV) -> None:
    test, other = pv("count"), pv("calong")
    test.put(0, wait=True)
    got: list[Any] = []
    every: list[Any] = []
    with test.subscribe(got.append, latest_only=True) as subscription, test.subscribe(every.append) as all_of_them:
        wait_for(lambda: got == every == [0])
        with Held(other):
            for count in range(1, 11):
                test.put(count, wait=True)
            assert test.get() == 10
        wait_for(lambda: len(every) == 11)
        assert got == [0, 10]
        assert (subscription.dropped, all_of_them.dropped) == (9, 0)
        test.put(11, wait=True)
        wait_for(lambda: got == [0, 10, 11])
        assert subscription.dropped == 9


def test_all_values_that_waited_for_the_properties_come_to_a_callback_that_raises(run_script: RunScript) -> None:
    """The server sends two values at once, and properties only when it is asked for them."""
    port = free_port()
    result = run_script(
        f"""
        import hostile_server
        from cachannel import PV
        logging.disable(logging.CRITICAL)
        hostile_server.LIES["late"] = lambda answer, asked, chance: b"" if 28 <= asked.dbr_type < 35 else answer.wire
        threading.Thread(target=hostile_server.serve, args=({port},), daemon=True).start()
        got = []

        def changed(value):
            got.append(value.units)
            raise ValueError

        test = PV("hostile:n=1,event=late,next=late", timeout=20)
        test.subscribe(changed)
        wait_for(lambda: len(got) == 2)
        print(got)
        """,
        env={"EPICS_CA_ADDR_LIST": f"127.0.0.1:{port}"},
    )
    assert_quiet(result, "['', '']\n")


def test_a_server_that_never_tells_the_properties_does_not_keep_the_values_back(run_script: RunScript) -> None:
    """And what waits for them is bounded: here one value of 800 kB, of 20 a second."""
    port = free_port()
    result = run_script(
        f"""
        import hostile_server
        from cachannel import PV
        hostile_server.LIES["never"] = lambda answer, asked, chance: b"" if 28 <= asked.dbr_type < 35 else answer.wire
        never = hostile_server.LIES["never"]
        hostile_server.LIES["many"] = lambda *answer: never(*answer) * 20
        threading.Thread(target=hostile_server.serve, args=({port},), daemon=True).start()
        got = []
        test = PV("hostile:type=6,n=100000,event=many,get=never,next=many", timeout=20)
        subscription = test.subscribe(got.append, latest_only=True)
        wait_for(lambda: got)
        print(got[0].size, hasattr(got[0], "units"), subscription.dropped > 0)
        """,
        env={"EPICS_CA_ADDR_LIST": f"127.0.0.1:{port}"},
    )
    assert_quiet(result, "100000 False True\n")


def test_a_forgotten_one_goes_on(run_script: RunScript) -> None:
    result = run_script(
        """
        import gc
        from cachannel import PV
        got = []
        PV(P + "count", timeout=10).subscribe(got.append)
        missing = PV("no-such-pv:in-any-ioc").subscribe(print)
        del missing
        gc.collect()
        wait_for(lambda: got)
        test = PV(P + "count", timeout=10)
        gc.collect()
        test.put(4321, wait=True)
        wait_for(lambda: got[-1] == 4321)
        print(got[-1].units == test.units)
        test.put(0, wait=True)
        """
    )
    assert_quiet(result, "True\n")


def test_one_before_its_ioc_starts(repeater: None) -> None:
    ioc = Ioc(f"e{secrets.token_hex(4)}:", RESTART_PORT, full=False, bare=False, limit=HARD_LIMIT)
    with PV(ioc.prefix + "catest", timeout=LONG) as test, PV(ioc.prefix + "cabo", timeout=LONG) as enum:
        got: list[Any] = []
        texts: list[Any] = []
        found: list[Any] = []
        test.subscribe(got.append)
        enum.subscribe(texts.append, as_string=True)
        calls = [test.get, lambda: test.wait_for(0), lambda: enum.put("Busy"), lambda: enum.wait_for("Busy")]
        threads = [threading.Thread(target=lambda call=call: found.append(call())) for call in calls]
        for thread in threads:
            thread.start()
        assert not test.connected
        raised(CaChannelException, test.get, timeout=0.1)
        with ioc:
            for thread in threads:
                thread.join(LONG)
            assert sorted(map(str, found)) == ["0.0", "0.0", "Busy", "None"]
            wait_for(lambda: got and texts and texts[-1] == "Busy")
            assert (got[0], got[0].units, got[0].severity.name) == (0, "mm", "No")
            assert texts[-1].enums == ["Done", "Busy"]


# After a restart


class Other(Ioc):
    """An IOC whose records have, after a restart, other properties and types."""

    def __init__(self) -> None:
        super().__init__(f"o{secrets.token_hex(4)}:", RESTART_PORT, full=False, bare=False, limit=HARD_LIMIT)
        self.after = False

    def _command(self) -> list[str]:
        command = super()._command()
        kinds = {"same": "DOUBLE", "number": "LONG" if self.after else "DOUBLE", "text": "DOUBLE"}
        kinds.update({"text": "STRING"} if self.after else {})
        for name, kind in kinds.items():
            macros = f"P={self.prefix},N={name},T={kind},C=1,E={'kV' if self.after else 'V'}"
            command += ["--database", str(HERE / "shape.db"), macros]
        return command


@pytest.fixture(scope="module")
def restarted(repeater: None) -> Iterator[dict[str, tuple[PV, list[Any]]]]:
    """PVs, and what their subscriptions have got, after a restart that has changed their properties and types."""
    ioc = Other()
    pvs = {name: PV(ioc.prefix + name, timeout=LONG) for name in ("same", "number", "text")}
    got: dict[str, tuple[PV, list[Any]]] = {name: (pv, []) for name, pv in pvs.items()}
    with ioc:
        # It stays what it is where the PV becomes another; its place among the subscriptions must not come first then.
        converted: list[Any] = []
        pvs["number"].subscribe(converted.append, datatype=float)
        got["converted"] = (pvs["number"], converted)
        for pv, values in list(got.values())[:3]:
            pv.put(1.5, wait=True)
            pv.subscribe(values.append)
            # With this one nothing that is not wanted comes after a reconnect.
            assert pv.units == "V"
        wait_for(lambda: all(values and values[-1] == 1.5 for _, values in got.values()))
        assert all(value.units == "V" for _, values in got.values() for value in values)
        ioc.kill()
        wait_for(lambda: not any(pv.connected for pv in pvs.values()))
        ca.poll()
        for pv, values in got.values():
            values.clear()
            error = raised(TimeoutError, pv.get, timeout=0.1)
            assert "no server answered within 0.1 s" in str(error)
        ioc.after = True
        ioc.start()
        for pv in pvs.values():
            pv.wait_connected()
        yield got
    for pv in pvs.values():
        pv.close()


def test_new_properties_come_with_the_first_value(restarted: dict[str, tuple[PV, list[Any]]]) -> None:
    test, got = restarted["same"]
    assert (test.units, test.get().units) == ("kV", "kV")
    wait_for(lambda: got)
    test.put(2.5, wait=True)
    wait_for(lambda: got[-1] == 2.5)
    assert [value.units for value in got] == ["kV"] * len(got)


def test_another_type(restarted: dict[str, tuple[PV, list[Any]]]) -> None:
    test, got = restarted["number"]
    assert (test.type, test.units, test.upper_disp_limit) == ("long", "kV", 0)
    assert type(test.upper_disp_limit) is int
    assert not hasattr(test.get(), "precision")
    test.put(7, wait=True)
    wait_for(lambda: got and got[-1] == 7)
    assert {type(+value) for value in got} == {int}
    assert {value.units for value in got} == {"kV"}


def test_a_subscription_to_another_type_has_the_present_properties(
    restarted: dict[str, tuple[PV, list[Any]]],
) -> None:
    test, got = restarted["converted"]
    wait_for(lambda: got and got[-1].units == "kV")
    for units in ("mm", "km", "kV"):
        PV(f"{test.name}.EGU", timeout=LONG).put(units, wait=True)
        wait_for(lambda units=units: got[-1].units == units)


def test_no_number_any_more(restarted: dict[str, tuple[PV, list[Any]]]) -> None:
    test, got = restarted["text"]
    assert test.type == "string"
    test.put("out", wait=True)
    wait_for(lambda: got and got[-1] == "out")
    assert not hasattr(test, "units")
    assert not any(hasattr(value, "units") for value in got)
    assert test.wait_for("out") == "out"


def test_nothing_is_kept_of_what_was_closed(pv: MakePV) -> None:
    """Each subscription to properties is there once for a PV, however many subscriptions come and go."""
    test = pv("catest")
    test.wait_connected()
    for _ in range(3):
        for _ in range(200):
            test.subscribe(lambda value: None).close()
        ca.poll()
        gc.collect()
        before = len(gc.get_objects())
    for _ in range(200):
        test.subscribe(lambda value: None).close()
    ca.poll()
    gc.collect()
    assert len(gc.get_objects()) - before < 100
