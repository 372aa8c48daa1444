"""Start-up times: importing the SDK, `concordance --help`, and commands up to the first token."""

import statistics
from collections.abc import Iterator
from functools import partial

from concordance_inference.bench import processes
from concordance_inference.bench.figures import Figure, alternate, compared, measured
from concordance_inference.models.converted import converted_folder
from concordance_inference.models.embedded import embedded_gguf

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
    yield from _first_tokens()


def _first_tokens() -> Iterator[Figure]:
    """Measure the time to the first token against mlx-lm, with the embedded model."""
    gguf = embedded_gguf()
    folder = converted_folder(gguf) if gguf else None
    if folder is None or not folder.is_dir():  # it is made when the model is first loaded
        return
    commands = ("mlx_lm.generate", "generate", "chat")
    baseline, *values = alternate(
        [partial(processes.first_token_ms, command, str(folder)) for command in commands], rounds=5
    )
    for command, of_command in zip(commands[1:], values, strict=True):
        name = f"concordance {command}, to the first token"
        yield compared(name, folder.name, "ms", of_command, baseline, target=1.1, at_most=True)
