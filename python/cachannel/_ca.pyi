"""The Rust core: libca's functions, channels and values. Use it through :mod:`cachannel.ca`."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from ._enums import DBF, ECA, ChannelState

__all__ = [
    "DBRValue",
    "add_exception_event",
    "attach_context",
    "ca_client_context",
    "change_connection_event",
    "chid",
    "clear_channel",
    "clear_subscription",
    "create_channel",
    "create_context",
    "create_subscription",
    "current_context",
    "destroy_context",
    "detach_context",
    "dropped",
    "element_count",
    "evid",
    "field_type",
    "flush_io",
    "get",
    "host_name",
    "message",
    "name",
    "pend",
    "pend_event",
    "pend_io",
    "poll",
    "put",
    "read_access",
    "replace_access_rights_event",
    "replace_printf_handler",
    "sg_block",
    "sg_create",
    "sg_delete",
    "sg_get",
    "sg_put",
    "sg_reset",
    "sg_test",
    "show_context",
    "state",
    "test_io",
    "version",
    "write_access",
]

@final
class chid:
    """A channel. Dropping the last reference clears it."""

@final
class evid:
    """A subscription. It ends with clear_subscription or with its channel, not with this object."""

@final
class ca_client_context:
    """A context of libca, opaque."""

    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class DBRValue:
    """The value that a get will have brought once pend_io has succeeded."""

    def get(self) -> Any: ...
    use_numpy: bool

class Transfers:
    """The part of CaChannel that loops call: in Rust, without a Python frame."""

    def __new__(cls, *_args: Any, **_keywords: Any) -> Self: ...
    def array_put(self, value: Any, req_type: int | None = None, count: int | None = None) -> None: ...
    def array_get(self, req_type: int | None = None, count: int | None = None, **keywords: Any) -> None: ...
    def getValue(self) -> Any: ...

@final
class Recorder:
    """Records the updates of many scalar PVs into memory, without Python's help."""

    DISCONNECTED: ClassVar[int]
    def __new__(cls, names: str | Iterable[str], mask: int | None = None, capacity: int = 1_000_000) -> Self: ...
    def start(self, timeout: float | None = None, throw: bool = True) -> None: ...
    def stop(self) -> None: ...
    def read(self, timeout: float | None = None, min_updates: int = 1) -> NDArray[np.void]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def capacity(self) -> int: ...
    @property
    def pending(self) -> int: ...
    @property
    def dropped(self) -> NDArray[np.int64]: ...
    @property
    def connected(self) -> NDArray[np.bool_]: ...
    def __len__(self) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> NDArray[np.void]: ...

@final
class Members:
    """The channels of a ChannelGroup: what it does with all of them. Methods return the status of each first."""

    def __new__(cls, chids: list[chid]) -> Self: ...
    def connected(self) -> NDArray[np.bool_]: ...
    def element_counts(self) -> list[int]: ...
    def connect(self, timeout: float) -> NDArray[np.int32]: ...
    def get(self, timeout: float) -> tuple[NDArray[np.int32], NDArray[np.float64]]: ...
    def get_time(
        self, timeout: float
    ) -> tuple[
        NDArray[np.int32],
        NDArray[np.float64],
        NDArray[np.int64],
        NDArray[np.int16],
        NDArray[np.int16],
    ]: ...
    def get_text(self, timeout: float) -> tuple[NDArray[np.int32], list[str]]: ...
    def put(self, values: Any, wait: bool, timeout: float) -> NDArray[np.int32]: ...

# Contexts
def create_context(preemptive_callback: bool = True) -> ECA: ...
def destroy_context() -> None: ...
def attach_context(context: ca_client_context) -> ECA: ...
def detach_context() -> None: ...
def current_context() -> ca_client_context | None: ...
def show_context(context: ca_client_context | None = None, level: int = 0) -> None: ...
def add_exception_event(callback: Callable[..., object] | None = None, *, user_args: Any = None) -> ECA: ...
def replace_printf_handler(callback: Callable[..., object] | None = None, *, user_args: Any = None) -> ECA: ...
def shutdown() -> None: ...

# Channels
def create_channel(
    name: str | bytes,
    callback: Callable[..., object] | None = None,
    priority: int = 0,
    *,
    user_args: Any = None,
) -> tuple[ECA, chid | None]: ...
def open_channel(
    holder: object,
    name: str | bytes,
    callback: Callable[..., object] | None,
    priority: int,
    user_args: Any,
) -> None: ...
def clear_channel(chid: chid | None) -> ECA: ...
def change_connection_event(
    chid: chid | None, callback: Callable[..., object] | None = None, *, user_args: Any = None
) -> ECA: ...
def replace_access_rights_event(
    chid: chid | None, callback: Callable[..., object] | None = None, *, user_args: Any = None
) -> ECA: ...
def field_type(chid: chid) -> DBF: ...
def element_count(chid: chid) -> int: ...
def name(chid: chid) -> str: ...
def host_name(chid: chid) -> str: ...
def state(chid: chid | None) -> ChannelState: ...
def read_access(chid: chid) -> bool: ...
def write_access(chid: chid) -> bool: ...

# Values
def get(
    chid: chid | None,
    chtype: int | None = None,
    count: int | None = None,
    callback: Callable[..., object] | None = None,
    use_numpy: bool = False,
    *,
    user_args: Any = None,
) -> tuple[ECA, DBRValue | None]: ...
def put(
    chid: chid | None,
    value: Any,
    chtype: int | None = None,
    count: int | None = None,
    callback: Callable[..., object] | None = None,
    *,
    user_args: Any = None,
    timeout: float | None = None,
) -> ECA: ...
def read_wait(chid: chid, chtype: int | None, count: int | None, use_numpy: bool, timeout: float) -> DBRValue: ...
def put_wait(
    chid: chid | None,
    value: Any,
    chtype: int | None = None,
    count: int | None = None,
    *,
    timeout: float,
) -> ECA: ...
def put_checked(chid: chid | None, value: Any, chtype: int | None, timeout: float) -> None: ...
def create_subscription(
    chid: chid | None,
    callback: Callable[..., object],
    chtype: int | None = None,
    count: int | None = None,
    mask: int | None = None,
    use_numpy: bool = False,
    *,
    user_args: Any = None,
    native: bool = False,
) -> tuple[ECA, evid | None]: ...
def clear_subscription(evid: evid | None) -> ECA: ...
def dropped(evid: evid) -> int: ...

# Waiting
def pend_io(timeout: float) -> ECA: ...
def pend_event(timeout: float) -> ECA: ...
def pend(timeout: float, early: bool) -> ECA: ...
def poll() -> ECA: ...
def flush_io() -> ECA: ...
def test_io() -> ECA: ...
def wait_io(timeout: float, chid: chid | None = None) -> None: ...
def wait_connected(timeout: float, chid: chid) -> None: ...
def wait_answers(timeout: float, chid: chid) -> None: ...
def deliver_due(chid: chid) -> None: ...

# Synchronous groups
def sg_create() -> tuple[ECA, int | None]: ...
def sg_delete(gid: int) -> ECA: ...
def sg_block(gid: int, timeout: float) -> ECA: ...
def sg_test(gid: int) -> ECA: ...
def sg_reset(gid: int) -> ECA: ...
def sg_get(
    gid: int,
    chid: chid | None,
    chtype: int | None = None,
    count: int | None = None,
    use_numpy: bool = False,
) -> tuple[ECA, DBRValue | None]: ...
def sg_put(
    gid: int,
    chid: chid | None,
    value: Any,
    chtype: int | None = None,
    count: int | None = None,
    *,
    timeout: float | None = None,
) -> ECA: ...

# libca
def message(status: int) -> str: ...
def version() -> str: ...
def load_libca(candidates: list[tuple[str, str]]) -> None: ...
def loaded_libca() -> tuple[str, str] | None: ...
