"""Every function of the ``ca`` module and method of the class takes the arguments of 3.2.0, in order and by name."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from cachannel import CaChannel, ca

REQUIRED = inspect.Parameter.empty

FUNCTIONS: dict[str, dict[str, Any]] = {
    "create_context": {"preemptive_callback": True},
    "destroy_context": {},
    "detach_context": {},
    "attach_context": {"context": REQUIRED},
    "current_context": {},
    "show_context": {"context": None, "level": 0},
    "create_channel": {"name": REQUIRED, "callback": None, "priority": 0},
    "clear_channel": {"chid": REQUIRED},
    "change_connection_event": {"chid": REQUIRED, "callback": None},
    "replace_access_rights_event": {"chid": REQUIRED, "callback": None},
    "add_exception_event": {"callback": None},
    "replace_printf_handler": {"callback": None},
    "get": {"chid": REQUIRED, "chtype": None, "count": None, "callback": None, "use_numpy": False},
    "put": {"chid": REQUIRED, "value": REQUIRED, "chtype": None, "count": None, "callback": None},
    "create_subscription": {
        "chid": REQUIRED,
        "callback": REQUIRED,
        "chtype": None,
        "count": None,
        "mask": None,
        "use_numpy": False,
    },
    "clear_subscription": {"evid": REQUIRED},
    "pend_io": {"timeout": REQUIRED},
    "pend_event": {"timeout": REQUIRED},
    "pend": {"timeout": REQUIRED, "early": REQUIRED},
    "poll": {},
    "flush_io": {},
    "test_io": {},
    "sg_create": {},
    "sg_delete": {"gid": REQUIRED},
    "sg_test": {"gid": REQUIRED},
    "sg_reset": {"gid": REQUIRED},
    "sg_block": {"gid": REQUIRED, "timeout": REQUIRED},
    "sg_get": {"gid": REQUIRED, "chid": REQUIRED, "chtype": None, "count": None, "use_numpy": False},
    "sg_put": {"gid": REQUIRED, "chid": REQUIRED, "value": REQUIRED, "chtype": None, "count": None},
    "field_type": {"chid": REQUIRED},
    "element_count": {"chid": REQUIRED},
    "name": {"chid": REQUIRED},
    "host_name": {"chid": REQUIRED},
    "state": {"chid": REQUIRED},
    "read_access": {"chid": REQUIRED},
    "write_access": {"chid": REQUIRED},
    "version": {},
    "message": {"status": REQUIRED},
    "alarmStatusString": {"code": REQUIRED},
    "alarmSeverityString": {"code": REQUIRED},
    "dbf_text": {"type": REQUIRED},
    "dbf_type_to_text": {"type": REQUIRED},
    "dbr_text": {"type": REQUIRED},
    "dbr_type_to_text": {"type": REQUIRED},
    "dbf_text_to_type": {"text": REQUIRED},
    "dbr_text_to_type": {"text": REQUIRED},
    "dbf_type_is_valid": {"type": REQUIRED},
    "dbr_type_is_valid": {"type": REQUIRED},
    **{
        f"dbr_type_is_{kind}": {"type": REQUIRED}
        for kind in ["plain", "STS", "TIME", "GR", "CTRL", "STRING", "SHORT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE"]
    },
    **{f"dbf_type_to_DBR{kind}": {"type": REQUIRED} for kind in ("", "_STS", "_TIME", "_GR", "_CTRL")},
}

METHODS: dict[str, dict[str, Any]] = {
    "search": {"pvName": None},
    "searchw": {"pvName": None},
    "search_and_connect": {"pvName": REQUIRED, "callback": REQUIRED, "*": "user_args"},
    "clear_channel": {},
    "change_connection_event": {"callback": REQUIRED, "*": "user_args"},
    "array_get": {"req_type": None, "count": None, "**": "keywords"},
    "getValue": {},
    "array_get_callback": {
        "req_type": REQUIRED,
        "count": REQUIRED,
        "callback": REQUIRED,
        "*": "user_args",
        "**": "keywords",
    },
    "getw": {"req_type": None, "count": None, "**": "keywords"},
    "array_put": {"value": REQUIRED, "req_type": None, "count": None},
    "array_put_callback": {
        "value": REQUIRED,
        "req_type": REQUIRED,
        "count": REQUIRED,
        "callback": REQUIRED,
        "*": "user_args",
    },
    "putw": {"value": REQUIRED, "req_type": None},
    "add_masked_array_event": {
        "req_type": REQUIRED,
        "count": REQUIRED,
        "mask": REQUIRED,
        "callback": REQUIRED,
        "*": "user_args",
        "**": "keywords",
    },
    "clear_event": {},
    "pend_io": {"timeout": None},
    "pend_event": {"timeout": None},
    "poll": {},
    "flush_io": {},
    "field_type": {},
    "element_count": {},
    "name": {},
    "state": {},
    "host_name": {},
    "read_access": {},
    "write_access": {},
    "setTimeout": {"timeout": REQUIRED},
    "getTimeout": {},
    "replace_access_rights_event": {"callback": None, "user_args": None},
    "add_exception_event": {"callback": None, "user_args": None},
    "replace_printf_handler": {"callback": None, "user_args": None},
    "version": {},
}


def arguments(function: Any) -> dict[str, Any]:
    """The arguments that may be given by position and by name, with their defaults; what is by name only is new."""
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            found[name] = parameter.default
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            found["*"] = name
        elif parameter.kind is inspect.Parameter.VAR_KEYWORD:
            found["**"] = name
        else:
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, name
            assert parameter.default is not REQUIRED, name
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    found = arguments(getattr(ca, name))
    assert list(found) == list(FUNCTIONS[name])
    assert found == FUNCTIONS[name]


@pytest.mark.parametrize("name", METHODS)
def test_method(name: str) -> None:
    found = arguments(getattr(CaChannel, name))
    expected = METHODS[name]
    found.pop("**", None)  # a keyword that is named is as good
    assert found == {key: value for key, value in expected.items() if key != "**"}
    if "**" in expected:
        assert "use_numpy" in inspect.signature(getattr(CaChannel, name)).parameters or "**" in arguments(
            getattr(CaChannel, name)
        )


def test_constructor() -> None:
    assert arguments(CaChannel) == {"pvName": None}


@pytest.mark.parametrize("name", [*FUNCTIONS])
def test_everything_has_a_docstring(name: str) -> None:
    assert getattr(ca, name).__doc__


@pytest.mark.parametrize("name", [*METHODS])
def test_every_method_has_a_docstring(name: str) -> None:
    assert getattr(CaChannel, name).__doc__
