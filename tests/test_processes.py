"""concurrent.futures over processes, and interpreters within one."""

from __future__ import annotations

import sys

import pytest
from helpers import RunScript, assert_quiet

POOL = """
    import concurrent.futures, multiprocessing
    logging.getLogger("cachannel.libca").setLevel(logging.ERROR)  # libCom warns of threads in a forked process
    def work(number):
        own = CaChannel(P + "calong")
        own.setTimeout(10)
        own.searchw()
        try:
            inherited = channel.getw()
        except NameError:
            inherited = "none"
        except CaChannelException as error:
            inherited = error.status.name
        return own.getw() + number, inherited
    if __name__ == "__main__":
        channel = CaChannel(P + "calong")
        channel.searchw()
        seen = []
        channel.add_masked_array_event(None, None, None, lambda args, user_args: seen.append(args["pv_value"]))
        channel.flush_io()
        wait_for(lambda: seen == [5])
        context = multiprocessing.get_context("{method}")
        with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
            results = list(pool.map(work, range(6)))
        print([value for value, _ in results], {{inherited for _, inherited in results}})
        channel.putw(6)
        wait_for(lambda: seen == [5, 6])
        channel.putw(5)
        print(channel.getw(), multiprocessing.active_children())
"""


@pytest.mark.parametrize(
    ("method", "inherited"),
    [
        pytest.param("fork", "BADCHID", marks=pytest.mark.skipif(sys.platform == "win32", reason="needs fork")),
        ("spawn", "none"),
    ],
)
def test_a_pool_of_processes(run_script: RunScript, method: str, inherited: str) -> None:
    # The warning is Python's: a thread of the pool's own forks.
    result = run_script(POOL.format(method=method), options=("-W", "ignore::DeprecationWarning"), timeout=50)
    assert_quiet(result, f"[5, 6, 7, 8, 9, 10] {{{inherited!r}}}\n5 []\n")


def test_a_sub_interpreter_is_told(run_script: RunScript) -> None:
    """By us, or by a Python that lets no such module into one."""
    result = run_script(
        """
        if sys.version_info < (3, 13):
            import _xxsubinterpreters as interpreters
            def run(code):
                try:
                    interpreters.run_string(within, code)
                except interpreters.RunFailedError as error:
                    return str(error)
        else:
            import _interpreters as interpreters
            def run(code):
                return interpreters.exec(within, code).formatted
        within = interpreters.create()
        said = run("import cachannel").replace("-", "")
        print("cachannel" in said and "subinterpreter" in said)
        interpreters.destroy(within)
        print(read(connect("calong")))
        """
    )
    assert_quiet(result, "True\n5\n")
