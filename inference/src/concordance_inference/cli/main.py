"""The commands and their options. Imports nothing heavy: `--help` answers at once.

Each command's work stands in a module of its own, imported when the command runs.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from concordance_inference.models.options import ModelOptions

app = typer.Typer(
    name="concordance",
    help="LLM inference on MLX in which every token passes through your code.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
mods_app = typer.Typer(
    help="Write, test, list, upload and delete mods.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(mods_app, name="mods")

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="A folder in mlx-lm's format, a GGUF file, or an id on the Hugging Face hub. "
        "[default: the embedded SmolLM2-135M-Instruct]",
        show_default=False,
    ),
]
ContextLength = Annotated[
    int | None,
    typer.Option(
        "--context-length",
        help="How many tokens a prompt and its answer may have together. [default: by the model]",
        min=1,
        show_default=False,
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code", help="Run Python code that the model's folder brings along."
    ),
]
AdapterPath = Annotated[
    Path | None,
    typer.Option(
        "--adapter-path",
        help="A folder of LoRA adapters, as mlx_lm.lora writes it.",
        show_default=False,
    ),
]
ModPaths = Annotated[
    list[Path],
    typer.Option(
        "--mods",
        help="A file or folder of mods, read again when it changes. Repeatable.",
        show_default=False,
    ),
]
ModNames = Annotated[
    list[str],
    typer.Option(
        "--mod",
        help="A mod to run with, as NAME or NAME:key=value,key=value. Repeatable; mods act in "
        "this order.",
        show_default=False,
    ),
]
MaxTokens = Annotated[
    int, typer.Option(help="The most tokens an answer may have.", min=1, max=2**31 - 1)
]
Temperature = Annotated[
    float, typer.Option(help="Of sampling; 0 takes the likeliest token.", min=0, max=2)
]
TopP = Annotated[float, typer.Option(help="Keep the likeliest tokens of this mass.", min=0, max=1)]
TopK = Annotated[
    int, typer.Option(help="Keep so many of the likeliest; 0: all.", min=0, max=2**31 - 1)
]
MinP = Annotated[
    float, typer.Option(help="Keep tokens at least so likely, against the likeliest.", min=0, max=1)
]
Seed = Annotated[
    int | None,
    typer.Option(help="The same seed gives the same answer.", min=-(2**63), max=2**63 - 1),
]
System = Annotated[str | None, typer.Option(help="A system message.")]
Url = Annotated[str, typer.Option(help="Where the server is.", envvar="CONCORDANCE_URL")]

_MAX_GB = 1e6

_DEFAULT_URL = "http://127.0.0.1:8000"


@app.command()
def serve(
    model: Model = None,
    context_length: ContextLength = None,
    trust_remote_code: TrustRemoteCode = False,
    adapter_path: AdapterPath = None,
    mods: ModPaths = [],
    host: Annotated[
        str, typer.Option(help="The address to listen on. Must be a loopback address.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="The port; 0 for any that is free.", min=0, max=65535)
    ] = 8000,
    max_rows: Annotated[
        int, typer.Option(help="How many requests run together; others wait.", min=1, max=4096)
    ] = 8,
    max_waiting: Annotated[
        int, typer.Option(help="How many requests may wait; others are refused.", min=0, max=10**6)
    ] = 256,
    chunk: Annotated[
        int | None,
        typer.Option(
            help="How many tokens of prompts one step reads at most. "
            "[default: 2048 on a GPU, 256 on a CPU]",
            min=1,
            max=10**6,
            show_default=False,
        ),
    ] = None,
    adaptive_chunks: Annotated[
        bool | None,
        typer.Option(
            help="Let the size of chunks follow from what steps take. With 16-bit models, results "
            "then depend on timing. [default: with 32-bit models only]",
            show_default=False,
        ),
    ] = None,
    latency_target: Annotated[
        int,
        typer.Option(
            help="How long a step that reads a prompt may hold up those who decode, in ms.",
            min=1,
            max=10**6,
        ),
    ] = 200,
    kv_memory: Annotated[
        float | None,
        typer.Option(
            help="What the caches of requests may take, in GB. [default: by this machine's memory]",
            min=0,
            max=_MAX_GB,
            show_default=False,
        ),
    ] = None,
    prefix_memory: Annotated[
        float | None,
        typer.Option(
            help="What of it may keep prompts that were read, in GB; 0: nothing. "
            "[default: a quarter]",
            min=0,
            max=_MAX_GB,
            show_default=False,
        ),
    ] = None,
    mlock: Annotated[
        bool, typer.Option("--mlock", help="Keep the weights in memory, come what may.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every request.")] = False,
) -> None:
    """Serve the OpenAI API."""
    from concordance_inference.cli import serve as command

    command.run(
        model,
        mods,
        options=_options(context_length, adapter_path, trust_remote_code=trust_remote_code),
        host=host,
        port=port,
        bounds={
            "max_rows": max_rows,
            "max_waiting": max_waiting,
            "chunk": chunk,
            "adaptive_chunks": adaptive_chunks,
            "latency_target_s": latency_target / 1000,
            "kv_bytes": _bytes(kv_memory),
            "prefix_bytes": _bytes(prefix_memory),
        },
        mlock=mlock,
        verbose=verbose,
    )


def _options(
    context_length: int | None, adapter_path: Path | None, *, trust_remote_code: bool
) -> "ModelOptions":
    from concordance_inference.models.options import ModelOptions

    return ModelOptions(
        context_length=context_length,
        adapter_path=adapter_path,
        trust_remote_code=trust_remote_code,
    )


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


@app.command()
def generate(
    prompt: Annotated[str, typer.Argument(help="What to ask; - reads it from standard input.")],
    model: Model = None,
    context_length: ContextLength = None,
    trust_remote_code: TrustRemoteCode = False,
    adapter_path: AdapterPath = None,
    mod: ModNames = [],
    mods: ModPaths = [],
    system: System = None,
    max_tokens: MaxTokens = 256,
    temperature: Temperature = 0.0,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    min_p: MinP = 0.0,
    seed: Seed = None,
    stop: Annotated[
        list[str], typer.Option(help="A string at which the answer ends. Repeatable.")
    ] = [],
    raw: Annotated[
        bool, typer.Option("--raw", help="No chat template: continue the text.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Colour what mods forced and took back.")
    ] = False,
) -> None:
    """Answer one question, streaming."""
    from concordance_inference.cli import generate as command
    from concordance_inference.generation import SamplingParams

    command.run(
        prompt,
        model,
        mod,
        mods,
        options=_options(context_length, adapter_path, trust_remote_code=trust_remote_code),
        system=system,
        max_tokens=max_tokens,
        stop=stop,
        raw=raw,
        show_tokens=tokens,
        sampling=SamplingParams(
            temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, seed=seed
        ),
    )


@app.command()
def chat(
    model: Model = None,
    context_length: ContextLength = None,
    trust_remote_code: TrustRemoteCode = False,
    adapter_path: AdapterPath = None,
    mod: ModNames = [],
    mods: ModPaths = [],
    system: System = None,
    max_tokens: MaxTokens = 512,
    temperature: Temperature = 0.2,
    seed: Seed = None,
) -> None:
    """Talk with the model in the terminal."""
    from concordance_inference.cli import chat as command
    from concordance_inference.generation import SamplingParams

    command.run(
        model,
        mod,
        mods,
        options=_options(context_length, adapter_path, trust_remote_code=trust_remote_code),
        system=system,
        max_tokens=max_tokens,
        sampling=SamplingParams(temperature=temperature, seed=seed),
    )


@app.command()
def demo(
    model: Model = None,
    context_length: ContextLength = None,
    trust_remote_code: TrustRemoteCode = False,
    adapter_path: AdapterPath = None,
    max_tokens: MaxTokens = 40,
) -> None:
    """Show four small mods, with and without, side by side."""
    from concordance_inference.cli import demo as command

    command.run(
        model,
        options=_options(context_length, adapter_path, trust_remote_code=trust_remote_code),
        max_tokens=max_tokens,
    )


@app.command()
def bench(
    model: Model = None,
    context_length: ContextLength = None,
    trust_remote_code: TrustRemoteCode = False,
    adapter_path: AdapterPath = None,
    only: Annotated[
        list[str],
        typer.Option(
            help="A group of figures: start, o200k, decode, mods, edits, constraints, prefill, "
            "latency, overlap, conversation, memory, batches, sharing or pauses. Repeatable. "
            "[default: all]",
            show_default=False,
        ),
    ] = [],
    rounds: Annotated[
        int, typer.Option(help="How often each figure is measured; medians are told.", min=1)
    ] = 5,
    tokens: Annotated[
        int, typer.Option(help="How many tokens a decoding round has on the real model.", min=8)
    ] = 32,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the tiny model: the loop's own cost.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None,
    plot: Annotated[bool, typer.Option("--plot", help="Also draw the ratios.")] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="Also write a trace of the loop to this file, in Chrome's format."),
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Also tell where the time of a step goes.")
    ] = False,
) -> None:
    """Measure speed beside mlx-lm, in one run."""
    from concordance_inference.cli import bench as command

    command.run(
        model,
        options=_options(context_length, adapter_path, trust_remote_code=trust_remote_code),
        only=only,
        rounds=rounds,
        tokens=tokens,
        quick=quick,
        json=json,
        plot=plot,
        trace=trace,
        profile=profile,
    )


@app.command()
def models() -> None:
    """List the models that can be served from this machine."""
    from concordance_inference.cli import models as command

    command.run()


@mods_app.command("new")
def mods_new(
    name: Annotated[str, typer.Argument(help="The mod's name.")],
    folder: Annotated[Path, typer.Option(help="Where to write it.")] = Path(),
    function: Annotated[
        bool, typer.Option("--function", help="A function instead of a class.")
    ] = False,
) -> None:
    """Write the beginning of a mod, and of its test."""
    from concordance_inference.cli import mods as command

    command.new(name, folder, function=function)


@mods_app.command("test")
def mods_test(
    file: Annotated[
        Path, typer.Argument(help="The Python file that defines the mods, or a folder of them.")
    ],
    mod: Annotated[
        list[str],
        typer.Option(
            help="A mod to check, as NAME or NAME:key=value,key=value; all of the file if none "
            "is named. Repeatable."
        ),
    ] = [],
    skip_tests: Annotated[
        bool, typer.Option("--skip-tests", help="Do not run the tests in the file and beside it.")
    ] = False,
) -> None:
    """Run the tests of a file of mods, and check that its mods behave."""
    from concordance_inference.cli import mods_check as command

    command.run(file, mod, skip_tests=skip_tests)


@mods_app.command("list")
def mods_list(url: Url = _DEFAULT_URL) -> None:
    """List the mods of a running server."""
    from concordance_inference.cli import mods as command

    command.list_(url)


@mods_app.command("push")
def mods_push(
    file: Annotated[
        Path, typer.Argument(help="The Python file that defines the mod, or a folder of them.")
    ],
    mod: Annotated[
        str | None, typer.Option(help="Which mod of it; needed if it defines several.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="What requests will call it.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Take along every Python file of this folder.")
    ] = None,
    url: Url = _DEFAULT_URL,
) -> None:
    """Upload a mod to a running server."""
    from concordance_inference.cli import mods as command

    command.push(file, url, mod=mod, name=name, folder=folder)


@mods_app.command("rm")
def mods_rm(
    name: Annotated[str, typer.Argument(help="The mod's name.")], url: Url = _DEFAULT_URL
) -> None:
    """Delete an uploaded mod from a running server."""
    from concordance_inference.cli import mods as command

    command.remove(name, url)


def main() -> None:
    """Run the command line; mistakes of the caller are told without a traceback."""
    try:
        app()
    except Exception as exc:
        from concordance_shared import ConcordanceError  # too slow to import for `--help`

        is_told = isinstance(exc, ConcordanceError | OSError | UnicodeError)
        if not is_told and not _lacks_backend(exc):
            raise
        print(f"concordance: {_shown(exc)}", file=sys.stderr)
        sys.exit(1)


_NO_BACKEND = (
    "MLX is installed without the code for a device; install one of "
    "`pip install 'concordance-inference[cpu]'` and `pip install 'concordance-inference[cuda]'`"
)


def _lacks_backend(exc: Exception) -> bool:
    """Whether `import mlx.core` failed, as it does on Linux without one of the extras."""
    return isinstance(exc, ImportError) and (exc.name == "mlx.core" or "libmlx" in str(exc))


def _shown(exc: Exception) -> str:
    """What is wrong, as text that every terminal can show."""
    if _lacks_backend(exc):
        return _NO_BACKEND
    text = f"input is not UTF-8: {exc}" if isinstance(exc, UnicodeError) else str(exc)
    return text.encode(errors="backslashreplace").decode()
