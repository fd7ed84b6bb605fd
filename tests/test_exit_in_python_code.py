"""Daemon threads that are in Python code, called from this package's Rust code, when the interpreter ends: the process
ends as it would without them. Up to Python 3.13 such threads are unwound, which Rust's frames do not bear.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest
from helpers import RunScript, assert_quiet

pytestmark = pytest.mark.timeout(100)

PREPARE = textwrap.dedent("""
    from cachannel import ChannelGroup, Recorder, _ca
    entered = threading.Event()
    def stay(*args):
        entered.set()
        while True:
            pass
    class Staying:
        __float__ = __index__ = __len__ = __bool__ = __repr__ = __str__ = stay
    class StayingText:
        __repr__ = __str__ = stay
    class StayingTruth:
        __bool__ = stay
    class StayingOffspring(CaChannel):
        _chid = property(stay, stay)
    class Last:
        __del__ = stay
        def __call__(self, args):
            pass
    class StayingArray:
        __array__ = stay
        __array_interface__ = property(stay)
    def names():
        yield P + "fast0"
        stay()
    channel = CaChannel(P + "fast0")
    channel.searchw()
    chid = connect("fast0")
    array = CaChannel(P + "cawave")
    array.searchw()
    group = ChannelGroup([P + "fast0"], timeout=20)
    group.connect()
    def later(work):
        threading.Thread(target=work, daemon=True).start()
        assert entered.wait(20)
""")

WAYS = {
    "a request type": "channel.array_put(1, Staying())",
    "an element count": "channel.array_put(1, None, Staying())",
    "a mask": "ca.create_subscription(chid, print, None, None, Staying())",
    "a truth": "ca.create_context(StayingTruth())",
    "a keyword": "channel.array_get(use_numpy=StayingTruth())",
    "a package's variable": "cachannel.USE_NUMPY = StayingTruth(); channel.array_get()",
    "an attribute": "StayingOffspring(P + 'fast0').array_get()",
    "a text for a message about a request type": "channel.array_put(1, StayingText())",
    "a text for a message about a callback": "ca.create_subscription(chid, StayingText())",
    "a text for a message about a name": "ca.create_channel(StayingText())",
    "a recorder's names": "Recorder(names())",
    "a status for its text": "ca.message(Staying())",
    "an exception's status for its text": """
        class Slow(CaChannelException):
            __index__ = stay
        ca.message(Slow(ca.ECA_TIMEOUT))
    """,
    "a type for its size": "ca.dbr_size_n(Staying(), 1)",
    "a timeout of a wait": "ca.pend_io(Staying())",
    "a timeout of a recorder": "Recorder([P + 'fast0']).read(Staying())",
    "a recorder's capacity": "Recorder([P + 'fast0'], capacity=Staying())",
    "a number": "channel.putw(Staying())",
    "a number in a list": "channel.putw([Staying()])",
    "an array": "channel.putw(StayingArray())",
    "a number for an array": "array.array_put(Staying())",
    "values of a group": "group.put([Staying()])",
    "the last reference to a callback": """
        evid = ca.create_subscription(chid, Last())[1]
        ca.clear_subscription(evid)
    """,
    "a callback that ends its own subscription": """
        def make():
            def called(args):
                ca.clear_subscription(evids.pop())
            called.last = Last()
            return called
        evids = []
        evids.append(ca.create_subscription(chid, make())[1])
        ca.flush_io()
    """,
    "the user's argument of a callback that ends its own subscription": """
        channel.add_masked_array_event(None, None, None, lambda args, last: channel.clear_event(), Last())
        channel.flush_io()
    """,
    "what a callback returns": """
        ca.get(chid, callback=lambda args: Last())
        ca.flush_io()
    """,
    "what a callback leaves in its argument": """
        ca.get(chid, callback=lambda args: args.update(last=Last()))
        ca.flush_io()
    """,
    "a variable of a callback that raises": """
        logging.disable()
        def called(args):
            last = Last()
            raise ValueError
        ca.get(chid, callback=called)
        ca.flush_io()
    """,
    "a hook for what a log's handler raises": """
        class Handler(logging.Handler):
            def emit(self, record):
                raise ValueError
        logging.getLogger("cachannel").addHandler(Handler())
        sys.unraisablehook = stay
        ca.get(chid, callback=lambda args: 1 / 0)
        ca.flush_io()
    """,
    "a function that a thread has called": "_ca.start_thread(lambda last=Last(): None)",
    "what a function returns that a thread has called": "_ca.start_thread(Last)",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_thread_that_is_in_python_code_stays_there(run_script: RunScript, way: str) -> None:
    work = textwrap.indent(textwrap.dedent(WAYS[way]), "    ")
    assert_quiet(run_script(f"{PREPARE}\ndef work():\n{work}\nlater(work)\n"), "")


def test_a_thread_that_imports_numpy_stays_there(run_script: RunScript) -> None:
    script = """
        import sys, threading
        entered = threading.Event()
        class Finder:
            def find_spec(self, name, *args):
                if name == "numpy":
                    entered.set()
                    while True:
                        pass
        sys.meta_path.insert(0, Finder())
        def work():
            import cachannel
        threading.Thread(target=work, daemon=True).start()
        assert entered.wait(20)
    """
    assert_quiet(run_script(script, preamble=False), "")


UNGUARDED = re.compile(
    r"\.call[01]?\(|\.call_method|\.(get|set|has)attr\(|\.is_truthy\(|\.str\(\)|\.repr\(\)|\.try_iter\(|py\.import\("
    r"|PyModule::import|\.is_instance\(|\.rich_compare|\.extract::<f\d|\.write_unraisable"
)
"""PyO3's ways to run Python code. (An int is extracted without, and `index` gives one.)"""

DROPPED = re.compile(r"\.bind\(py\)\.clone\(|^\s*(call|call_method)\(.*\)\?;|\.upgrade\(\)(?!\.map\(Released::new\))")
"""How a reference to what the user gave would go plainly, and with it the user's `__del__` be called."""

OWN = re.compile(r"\b(callback\.call|visit\.call)\b|all\.call_method1\(\"remove\"")
"""What looks like them: a method of this package's own, and what is done as the module is made."""

SEEING_PYTHON = (
    *("callback", "deferred_decref", "dispatch", "errors", "lib", "states", "thread_state"),
    *("py/*", "convert/*", "dispatch/*"),
)


def test_rust_calls_python_through_calls_rs() -> None:
    source = Path(__file__).parents[1] / "src"
    if not source.exists():
        pytest.skip("installed without the sources")
    found = []
    for name in SEEING_PYTHON:
        paths = list(source.glob(f"{name}.rs"))
        assert paths, name
        for path in paths:
            delivers = name.startswith(("callback", "dispatch"))
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                unguarded = UNGUARDED.search(OWN.sub("", line)) or (delivers and DROPPED.search(line))
                if unguarded and not line.lstrip().startswith("//"):
                    found.append(f"{path.relative_to(source)}:{number}: {line.strip()}")
    assert not found, "not by way of src/calls.rs:\n" + "\n".join(found)


def test_rust_takes_numbers_by_way_of_calls_rs() -> None:
    # PyO3 calls __index__ and __float__ for an argument that is a number.
    source = Path(__file__).parents[1] / "src" / "py"
    if not source.exists():
        pytest.skip("installed without the sources")
    functions = re.compile(
        r"#\[pyfunction\]\s*(?:#\[[^\n]*\]\s*)*pub fn (\w+)(?:<[^(]*>)?\((.*?)\)\s*(?:->|\{)", re.DOTALL
    )
    number = re.compile(r"(\w+): (?:Option<)?(?:[iu](?:8|16|32|64|size)|f(?:32|64))\b")
    found = []
    for path in source.glob("*.rs"):
        for name, arguments in functions.findall(path.read_text(encoding="utf-8")):
            guarded = re.sub(r"#\[pyo3\([^]]*\)\]\s*\w+(?:#\w+)?: [^,]+", "", arguments)
            found += [f"{path.name}: {name}: {argument}" for argument in number.findall(guarded)]
    assert not found, found
