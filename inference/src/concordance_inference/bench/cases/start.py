"""Start-up times: importing the SDK, and `concordance --help`."""

import statistics
from collections.abc import Iterator

from concordance_inference.bench import processes
from concordance_inference.bench.figures import Figure, alternate, measured

_SDK = "concordance_sdk"


def figures() -> Iterator[Figure]:
    """Measure fresh interpreters."""
    for name, measure, target in (
        (f"import {_SDK}", lambda: processes.import_ms(_SDK), None),
        # msgspec imports typing_extensions if some other package has installed it; the SDK alone
        # does not.
        (
            f"import {_SDK}, alone",
            lambda: processes.import_ms(_SDK, without="typing_extensions"),
            100.0,
        ),
        ("concordance --help", processes.help_ms, 300.0),
    ):
        (values,) = alternate([measure], rounds=7)
        median = statistics.median(values)
        yield measured(name, "", "ms", median, target=target, at_most=True)
