"""How long importing the SDK and asking for help take."""

import statistics
from collections.abc import Iterator

from concordance_inference.bench import processes
from concordance_inference.bench.figures import Figure, alternate, measured

_SDK = "concordance_sdk"


def figures() -> Iterator[Figure]:
    """In milliseconds, of fresh interpreters."""
    for name, measure, wanted in (
        (f"import {_SDK}", lambda: processes.import_ms(_SDK), None),
        # msgspec imports typing_extensions where some other package has brought it along; where
        # only the SDK is installed, there is none.
        (
            f"import {_SDK}, alone",
            lambda: processes.import_ms(_SDK, without="typing_extensions"),
            100.0,
        ),
        ("concordance --help", processes.help_ms, 300.0),
    ):
        (values,) = alternate([measure], rounds=7)
        median = statistics.median(values)
        yield measured(name, "", "ms", median, wanted=wanted, at_most=True)
