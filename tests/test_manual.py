"""The manual's examples, as a program for CaChannel 3.2.0 has them: same imports, same output.

They use the manual's plain names; the IOC is on a port of its own.
"""

from __future__ import annotations

import doctest

import pytest
from helpers import RunScript, assert_quiet

DOCTESTS = {
    "class": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.putw(12.5)
        >>> chan.getw()
        12.5
        >>> chan.searchw('cabo')
        >>> chan.putw('Done')
        >>> chan.getw(ca.DBR_STRING)
        'Done'
        """,
    "search": """
        >>> chan = CaChannel()
        >>> chan.search('catest')
        >>> status = chan.pend_io()
        >>> chan.state()
        <ChannelState.CONN: 2>
        """,
    "search_and_connect": """
        >>> chan = CaChannel('catest')
        >>> def connCB(epicsArgs, _):
        ...     chid = epicsArgs[0]
        ...     connection_state = epicsArgs[1]
        ...     if connection_state == ca.CA_OP_CONN_UP:
        ...         print(ca.name(chid), "is connected")
        >>> chan.search_and_connect(None, connCB, chan)
        >>> status = chan.pend_event(1)
        catest is connected
        >>> chan.search_and_connect('cabo', connCB, chan)
        >>> status = chan.pend_event(1)
        cabo is connected
        >>> chan.clear_channel()
        """,
    "change_connection_event": """
        >>> chan = CaChannel('catest')
        >>> chan.search()
        >>> def connCB(epicsArgs, _):
        ...     chid = epicsArgs[0]
        ...     connection_state = epicsArgs[1]
        ...     if connection_state == ca.CA_OP_CONN_UP:
        ...         print(ca.name(chid), "is connected")
        >>> chan.change_connection_event(connCB)
        >>> status = chan.pend_event(1)
        catest is connected
        >>> chan.change_connection_event(None)
        """,
    "array_get": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.putw(123)
        >>> chan.array_get()
        >>> chan.pend_io()
        >>> chan.getValue()
        123.0
        """,
    "getValue": """
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.putw(1)
        >>> chan.array_get(req_type=ca.DBR_CTRL_ENUM)
        >>> chan.pend_io()
        >>> for k, v in sorted(chan.getValue().items()):
        ...    if k in ['pv_severity', 'pv_status']:
        ...        print(k, v.name)
        ...    else:
        ...        print(k, v)
        pv_nostrings 2
        pv_severity Minor
        pv_statestrings ('Done', 'Busy')
        pv_status State
        pv_value 1
        """,
    "array_get_callback": """
        >>> def getCB(epicsArgs, _):
        ...     for item in sorted(epicsArgs.keys()):
        ...         if item.startswith('pv_'):
        ...             if item in ['pv_severity', 'pv_status']:
        ...                 print(item, epicsArgs[item].name)
        ...             else:
        ...                 print(item, epicsArgs[item])
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.putw(145)
        >>> chan.array_get_callback(ca.DBR_CTRL_DOUBLE, 1, getCB)
        >>> status = chan.pend_event(1)
        pv_loalarmlim -20.0
        pv_loctrllim 0.0
        pv_lodislim -20.0
        pv_lowarnlim -10.0
        pv_precision 4
        pv_severity Major
        pv_status HiHi
        pv_units mm
        pv_upalarmlim 20.0
        pv_upctrllim 0.0
        pv_updislim 20.0
        pv_upwarnlim 10.0
        pv_value 145.0
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.putw(0)
        >>> chan.array_get_callback(ca.DBR_CTRL_ENUM, 1, getCB)
        >>> status = chan.pend_event(1)
        pv_nostrings 2
        pv_severity No
        pv_statestrings ('Done', 'Busy')
        pv_status No
        pv_value 0
        """,
    "getw": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.putw(0)
        >>> value = chan.getw(ca.DBR_TIME_DOUBLE)
        >>> for k,v in sorted(value.items()): # doctest: +ELLIPSIS
        ...    if k in ['pv_severity', 'pv_status']:
        ...        print(k, v.name)
        ...    else:
        ...        print(k, v)
        pv_nseconds ...
        pv_seconds ...
        pv_severity No
        pv_status No
        pv_value 0.0
        """,
    "array_put": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.array_put(123)
        >>> chan.flush_io()
        >>> chan.getw()
        123.0
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.array_put('Busy', ca.DBR_STRING)
        >>> chan.flush_io()
        >>> chan.getw()
        1
        >>> chan = CaChannel('cawavec')
        >>> chan.searchw()
        >>> chan.array_put([1,2,3])
        >>> chan.flush_io()
        >>> chan.getw()
        [1, 2, 3, 0, 0]
        >>> chan.getw(count=3, use_numpy=True)
        array([1, 2, 3], dtype=uint8)
        >>> chan = CaChannel('cawavec')
        >>> chan.searchw()
        >>> chan.array_put('1234',count=3)
        >>> chan.flush_io()
        >>> chan.getw(count=4)
        [49, 50, 51, 0]
        """,
    "array_put_callback": """
        >>> def putCB(epicsArgs, _):
        ...     print(ca.name(epicsArgs['chid']), 'put completed')
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.array_put_callback(145, None, None, putCB)
        >>> status = chan.pend_event(1)
        catest put completed
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.array_put_callback('Busy', ca.DBR_STRING, None, putCB)
        >>> status = chan.pend_event(1)
        cabo put completed
        >>> chan = CaChannel('cawave')
        >>> chan.searchw()
        >>> chan.array_put_callback([1,2,3], None, None, putCB)
        >>> status = chan.pend_event(1)
        cawave put completed
        >>> chan = CaChannel('cawavec')
        >>> chan.searchw()
        >>> chan.array_put_callback('123', None, None, putCB)
        >>> status = chan.pend_event(1)
        cawavec put completed
        """,
    "putw": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.putw(145)
        >>> chan.getw()
        145.0
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.putw('Busy', ca.DBR_STRING)
        >>> chan.getw()
        1
        >>> chan.getw(ca.DBR_STRING)
        'Busy'
        >>> chan = CaChannel('cawave')
        >>> chan.searchw()
        >>> chan.putw([1,2,3])
        >>> chan.getw(req_type=ca.DBR_LONG,count=4)
        [1, 2, 3, 0]
        >>> chan = CaChannel('cawavec')
        >>> chan.searchw()
        >>> chan.putw('123')
        >>> chan.getw(count=4)
        [49, 50, 51, 0]
        >>> chan.getw(req_type=ca.DBR_STRING)
        '123'
        >>> chan = CaChannel('cawaves')
        >>> chan.searchw()
        >>> chan.putw(['string 1','string 2'])
        >>> chan.getw()
        ['string 1', 'string 2', '']
        """,
    "add_masked_array_event": """
        >>> def eventCB(epicsArgs, _):
        ...     print('pv_value', epicsArgs['pv_value'])
        ...     print('pv_status', epicsArgs['pv_status'].name)
        ...     print('pv_severity', epicsArgs['pv_severity'].name)
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.putw(1)
        >>> chan.add_masked_array_event(ca.DBR_STS_ENUM, None, None, eventCB)
        >>> status = chan.pend_event(1)
        pv_value 1
        pv_status State
        pv_severity Minor
        >>> chan.add_masked_array_event(ca.DBR_STS_STRING, None, None, eventCB)
        >>> status = chan.pend_event(1)
        pv_value Busy
        pv_status State
        pv_severity Minor
        >>> chan.clear_event()
        """,
    "field_type": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> ftype = chan.field_type()
        >>> ftype
        <DBF.DOUBLE: 6>
        >>> ca.dbf_text(ftype)
        'DBF_DOUBLE'
        >>> ca.DBF_DOUBLE == ftype
        True
        """,
    "information": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> chan.element_count()
        1
        >>> chan.name()
        'catest'
        >>> chan = CaChannel('catest')
        >>> chan.state()
        <ChannelState.NEVER_SEARCH: 4>
        >>> chan.searchw()
        >>> chan.state()
        <ChannelState.CONN: 2>
        >>> host_name = chan.host_name()
        >>> chan.read_access()
        True
        >>> chan.write_access()
        True
        """,
    "timeouts": """
        >>> chan = CaChannel()
        >>> chan.setTimeout(10.)
        >>> chan.getTimeout()
        10.0
        >>> chan = CaChannel()
        >>> chan.getTimeout() == CaChannel.ca_timeout
        True
        """,
    "replace_access_rights_event": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> def accessCB(epicsArgs, _):
        ...     print('read:', epicsArgs['read_access'], 'write:', epicsArgs['write_access'])
        >>> chan.replace_access_rights_event(accessCB)
        read: True write: True
        >>> chan.replace_access_rights_event() # clear the callback
        """,
    "a search that fails": """
        >>> chan = CaChannel('non-exist-channel')
        >>> chan.setTimeout(0.2)
        >>> chan.searchw() # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
            ...
        CaChannelException: User specified timeout on IO operation expired
        """,
    "recipe: string of an enum": """
        >>> chan = CaChannel('cabo')
        >>> chan.searchw()
        >>> chan.putw(1)
        >>> print(chan.getw(ca.DBR_STRING))
        Busy
        """,
    "recipe: control information": """
        >>> chan = CaChannel('catest')
        >>> chan.searchw()
        >>> info = chan.getw(ca.dbf_type_to_DBR_CTRL(chan.field_type()))
        >>> info['pv_units'], info['pv_precision'], info['pv_updislim']
        ('mm', 4, 20.0)
        """,
    "recipe: waveform as numpy array": """
        >>> chan = CaChannel('cawave')
        >>> chan.searchw()
        >>> chan.putw([1, 2, 3, 4, 5])
        >>> print(chan.getw(use_numpy=True))
        [1. 2. 3. 4. 5.]
        """,
}


@pytest.mark.parametrize("name", DOCTESTS)
def test_doctest(name: str) -> None:
    import cachannel

    names = {
        "ca": cachannel.ca,
        "CaChannel": cachannel.CaChannel,
        "CaChannelException": cachannel.CaChannelException,
    }
    test = doctest.DocTestParser().get_doctest(DOCTESTS[name], names, name, None, None)
    assert test.examples
    # Callbacks print from the thread that delivers them, while pend_event waits: to the same sys.stdout.
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_tutorial_synchronous(run_script: RunScript) -> None:
    result = run_script(
        """
        from CaChannel import CaChannel, CaChannelException
        try:
            chan = CaChannel('catest')
            chan.searchw()
            chan.putw(12)
            chan.getw()
        except CaChannelException as e:
            print(e)
        """,
        preamble=False,
    )
    assert_quiet(result, "")


def test_tutorial_multiple(run_script: RunScript) -> None:
    result = run_script(
        """
        from CaChannel import ca, CaChannel, CaChannelException
        try:
            chan1 = CaChannel('catest')
            chan1.search()
            chan2 = CaChannel('cabo')
            chan2.search()
            chan2.pend_io()
            chan1.array_put(1.23)
            chan2.array_put(1)
            chan2.flush_io()
            print(chan1.getw(), chan2.getw())
        except CaChannelException as e:
            print(e)
        """,
        preamble=False,
    )
    assert_quiet(result, "1.23 1\n")


def test_tutorial_multiple_one_missing(run_script: RunScript) -> None:
    result = run_script(
        """
        from CaChannel import ca, CaChannel, CaChannelException
        try:
            chan1 = CaChannel('catest')
            chan1.search()
            chan2 = CaChannel('no-such-pv')
            chan2.search()
            chan2.pend_io(0.3)
        except CaChannelException as e:
            print(e.status == ca.ECA_TIMEOUT, ca.message(e), str(e).partition(" within")[0], sep="; ")
        """,
        preamble=False,
    )
    assert_quiet(result, "True; User specified timeout on IO operation expired; no-such-pv: no server answered\n")


def test_tutorial_asynchronous(run_script: RunScript) -> None:
    result = run_script(
        """
        import time
        from CaChannel import ca, CaChannel, CaChannelException

        def connectCB(epics_args, user_args):
            print("connectCB: Python connect callback function")
            print(type(epics_args))
            print(len(epics_args), ca.name(epics_args[0]), epics_args[1])
            print(user_args)
            state = epics_args[1]
            if state == ca.CA_OP_CONN_UP:
                print("connectCB: Connection is up")
            elif state == ca.CA_OP_CONN_DOWN:
                print("connectCB: Connection is down")

        def putCB(epics_args, user_args):
            print("putCB: Python put callback function")
            print(type(epics_args))
            print(ca.name(epics_args['chid']))
            print(epics_args['type'])
            print(epics_args['count'])
            print(epics_args['status'])
            print(user_args)

        chan = CaChannel()
        chan.search_and_connect('catest', connectCB)
        chan.flush_io()
        time.sleep(1)
        chan.array_put_callback(3.3, None, None, putCB)
        chan.flush_io()
        time.sleep(1)
        """,
        preamble=False,
    )
    assert_quiet(
        result,
        "connectCB: Python connect callback function\n<class 'tuple'>\n2 catest CA_OP.CONN_UP\n()\n"
        "connectCB: Connection is up\n"
        "putCB: Python put callback function\n<class 'dict'>\ncatest\nDBR.DOUBLE\n1\nECA.NORMAL\n()\n",
    )


def test_tutorial_monitor(run_script: RunScript) -> None:
    result = run_script(
        """
        import sys
        import time
        from CaChannel import ca, CaChannel, CaChannelException

        def eventCB(epics_args, user_args):
            print("eventCb: Python callback function")
            print(type(epics_args))
            print(epics_args['status'])
            print("new value =", epics_args['pv_value'])
            print(epics_args['pv_severity'])
            print(epics_args['pv_status'])

        chan = CaChannel()
        chan.searchw('catest')
        chan.putw(3)
        chan.getw()
        chan.add_masked_array_event(
            ca.DBR_STS_DOUBLE,
            None,
            None,
            eventCB)
        chan.flush_io()
        time.sleep(0.5)
        chan.putw(15)
        time.sleep(0.5)
        """,
        preamble=False,
    )
    head = "eventCb: Python callback function\n<class 'dict'>\nECA.NORMAL\n"
    assert_quiet(
        result,
        f"{head}new value = 3.0\nAlarmSeverity.No\nAlarmCondition.No\n"
        f"{head}new value = 15.0\nAlarmSeverity.Minor\nAlarmCondition.High\n",
    )


def test_recipe_connect_multiple_and_get(run_script: RunScript) -> None:
    result = run_script(
        """
        from CaChannel import ca, CaChannel
        chans = {pvname: CaChannel(pvname) for pvname in ['calong', 'castr', 'cabo']}
        for chan in chans.values():
            chan.search()
        chans['calong'].pend_io(10)
        for name, value in (('calong', 5), ('castr', 'hello'), ('cabo', 0)):
            chans[name].putw(value)
        for chan in chans.values():
            chan.array_get()
        chans['calong'].pend_io(10)
        for chan in chans.values():
            print(chan.getValue())
        """,
        preamble=False,
    )
    assert_quiet(result, "5\nhello\n0\n")


def test_recipe_connect_multiple_and_monitor(run_script: RunScript) -> None:
    result = run_script(
        """
        import time
        from CaChannel import ca, CaChannel

        seen = {}

        def monitor_callback(epics_arg, user_arg):
            chan = user_arg[0]
            value = epics_arg['pv_value']
            seen.setdefault(chan.name(), []).append(value)

        def connection_callback(epics_arg, user_arg):
            chan = user_arg[0]
            if epics_arg[1] == ca.CA_OP_CONN_UP:
                chan.add_masked_array_event(None, None, None, monitor_callback, chan)
                chan.flush_io()

        chans = {pvname: CaChannel(pvname) for pvname in ['catest', 'cabo', 'cacalc']}
        for chan in chans.values():
            chan.search_and_connect(None, connection_callback, chan)
        chans['catest'].flush_io()
        time.sleep(2)
        print(sorted(seen), len(seen['cacalc']) >= 2, seen['cacalc'] == sorted(seen['cacalc']))
        """,
        preamble=False,
    )
    assert_quiet(result, "['cabo', 'cacalc', 'catest'] True True\n")


def test_recipe_numpy_at_module_level(run_script: RunScript) -> None:
    result = run_script(
        """
        import CaChannel
        CaChannel.USE_NUMPY = True
        chan = CaChannel.CaChannel('cawave')
        chan.searchw()
        chan.putw([1, 2, 3, 4, 5])
        print(type(chan.getw()).__name__, chan.getw())
        """,
        preamble=False,
    )
    assert_quiet(result, "ndarray [1. 2. 3. 4. 5.]\n")


def test_handlers(run_script: RunScript) -> None:
    result = run_script(
        """
        from CaChannel import ca, CaChannel
        chan = CaChannel('catest')
        chan.searchw()
        def exceptionCB(epicsArgs, _):
            print('op:', epicsArgs['op'], 'file:', type(epicsArgs['file']), 'line:', type(epicsArgs['lineNo']))
        chan.add_exception_event(exceptionCB)
        bo = CaChannel('cabo')
        bo.searchw()
        bo.array_put('Nonsense')
        chan.pend_event(0.5)
        chan.add_exception_event()
        def printfCB(message, _):
            print('CA message:', message)
        chan.replace_printf_handler(printfCB)
        chan.replace_printf_handler()
        """,
        preamble=False,
    )
    assert_quiet(result, "op: CA_OP.PUT file: <class 'str'> line: <class 'int'>\n")
