"""The fields of a motor record: those that an :class:`epicsMotor` uses, those that go together, and as properties."""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar, cast, overload

from .epicsPV import epicsPV

T = TypeVar("T")

FIELDS = (
    *("val", "dval", "rval", "rlv", "rbv", "drbv", "rrbv", "dmov", "stop", "set", "lvio", "lls", "hls"),
    *("velo", "vbas", "accl", "desc", "mres", "hlm", "llm", "dhlm", "dllm", "bdst", "off"),
)


class Frame(NamedTuple):
    """A system of coordinates: the fields that go with it."""

    target: str
    readback: str
    low: str
    high: str


USER = Frame("val", "rbv", "llm", "hlm")
DIAL = Frame("dval", "drbv", "dllm", "dhlm")
STEP = Frame("rval", "rrbv", "dllm", "dhlm")


class HasFields(Protocol):
    """What a field needs of its motor."""

    name: str
    pvs: dict[str, epicsPV]


class Field(Generic[T]):
    """A field of the record as a property: reading and writing it are a read and a write of the PV."""

    def __init__(self, field: str, doc: str, writable: bool = True) -> None:
        self._field = field
        self._writable = writable
        self.__doc__ = f"{doc} Field {field.upper()}."

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, motor: None, owner: type) -> Field[T]: ...
    @overload
    def __get__(self, motor: HasFields, owner: type) -> T: ...
    def __get__(self, motor: HasFields | None, owner: type) -> Field[T] | T:
        return self if motor is None else cast(T, motor.pvs[self._field].getw())

    def __set__(self, motor: HasFields, value: T) -> None:
        if not self._writable:
            raise AttributeError(f"{motor.name}: {self._name} (.{self._field.upper()}) is read-only")
        motor.pvs[self._field].putw(value)
