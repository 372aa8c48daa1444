"""The options of each command, declared once: type, default, bounds and help.

`takes` (takes.py) makes a typer command of a function that takes one of these classes, and settings
of its options (settings.py): variables and a file can set them too. The class also makes what the
command needs of it, such as an `EngineConfig`. Plain dataclasses, because `--help` must import
nothing heavy.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from concordance_inference.cli.limit_options import LimitArgs

if TYPE_CHECKING:
    from concordance_inference.cli.server_log import Level
    from concordance_inference.engine.config import EngineConfig
    from concordance_inference.models.options import ModelOptions
    from concordance_inference.server.limits import Limits

_MAX_INT = 2**31 - 1

ModPaths = Annotated[
    list[Path],
    typer.Option(
        "--mods",
        help="A file or folder of mods, loaded again when it changes. Repeatable.",
        show_default=False,
    ),
]
Url = Annotated[str, typer.Option(help="The server's URL.")]
DEFAULT_URL = "http://127.0.0.1:8000"
ModOwner = Annotated[
    str | None,
    typer.Option(help="Who has uploaded it. [default: the caller]", show_default=False),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A TOML file of settings. [default: $CONCORDANCE_CONFIG, ./concordance.toml, or "
        "concordance/concordance.toml in $XDG_CONFIG_HOME]",
        show_default=False,
    ),
]


KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key-file",
        help="The file of keys. [default: keys.json in the state folder]",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class LoadArgs:
    """How models are loaded."""

    context_length: Annotated[
        int | None,
        typer.Option(
            help="Limit of a prompt and its completion together, in tokens. [default: the model's]",
            min=1,
            show_default=False,
        ),
    ] = None
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="Run Python code from the model's folder."),
    ] = False
    adapter_path: Annotated[
        Path | None,
        typer.Option(
            help="A folder of LoRA adapters, as written by mlx_lm.lora.", show_default=False
        ),
    ] = None

    sampling_defaults: Annotated[
        Literal["model", "openai"],
        typer.Option(
            help="Sampling parameters of requests that set none: those of the model's "
            "generation_config.json, or temperature 1 without cuts, as OpenAI's API."
        ),
    ] = "model"

    header_guard: Annotated[
        bool,
        typer.Option(
            help="Let gpt-oss write only headers of messages that can be parsed, and that the "
            "request allows."
        ),
    ] = True

    mlock: Annotated[
        bool, typer.Option("--mlock", help="Keep the weights from being swapped out.")
    ] = False

    @property
    def model_options(self) -> "ModelOptions":
        """How to load the model."""
        from concordance_inference.models.options import ModelOptions

        return ModelOptions(
            context_length=self.context_length,
            adapter_path=self.adapter_path,
            trust_remote_code=self.trust_remote_code,
            sampling_defaults=self.sampling_defaults,
            header_guard=self.header_guard,
        )


@dataclass(frozen=True, kw_only=True)
class ModelArgs(LoadArgs):
    """The options of every command that loads one model."""

    model: Annotated[
        str | None,
        typer.Option(
            help="A folder in mlx-lm's format, a GGUF file, or an id on the Hugging Face hub. "
            "[default: the embedded SmolLM2-135M-Instruct]",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Serve(LimitArgs, LoadArgs):
    """The options of `concordance serve`."""

    model: Annotated[
        list[str],
        typer.Option(
            help="A folder in mlx-lm's format, a GGUF file, or an id on the Hugging Face hub. "
            "NAME=MODEL also says how requests name it. Repeatable: the first is loaded at the "
            "start, others when a request names them. [default: the embedded "
            "SmolLM2-135M-Instruct]",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    allow_stored: Annotated[
        bool,
        typer.Option(
            "--allow-stored",
            help="Requests may also name every model that is in the store, in the hub's cache or "
            "in LM Studio's folder, also those that are stored later.",
        ),
    ] = False
    alias: Annotated[
        list[str],
        typer.Option(help="ALIAS=NAME: another name of a model. Repeatable.", show_default=False),
    ] = field(default_factory=list[str])
    adapter: Annotated[
        list[str],
        typer.Option(
            help="NAME=FOLDER: LoRA adapters, as written by mlx_lm.lora, for requests that name "
            "the model MODEL:NAME. MODEL:NAME=FOLDER says of which model, if not of the first. "
            "Repeatable; the weights of the model are in memory once.",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    model_memory: Annotated[
        float | None,
        typer.Option(
            help="Memory for the weights and KV caches of all models, in GB. Models that do not "
            "fit at the same time take turns. [default: by this machine's memory]",
            min=0,
            max=1e6,
            show_default=False,
        ),
    ] = None
    idle_unload: Annotated[
        float | None,
        typer.Option(
            help="Unload a model that no request has used for this many seconds. [default: never]",
            min=1,
            max=1e9,
            show_default=False,
        ),
    ] = None
    mods: ModPaths = field(default_factory=list[Path])
    host: Annotated[
        str,
        typer.Option(help="The address to listen on. Others than loopback addresses need keys."),
    ] = "127.0.0.1"
    port: Annotated[
        int, typer.Option(help="The port; 0 for any that is free.", min=0, max=65535)
    ] = 8000
    key_file: KeyFile = None
    allowed_hosts: Annotated[
        list[str],
        typer.Option(
            help="A name by which clients reach the server, besides loopback names and the address "
            "it listens on. Repeatable.",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    cors_origins: Annotated[
        list[str],
        typer.Option(
            help="The origin of a web page that may use the server, such as https://example.com. "
            "Repeatable. [default: pages of this server only]",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    public_pages: Annotated[
        bool,
        typer.Option(
            "--public-pages",
            help="Send the inspector and the page of the API, which have no data, also to callers "
            "without a key. They ask for one.",
        ),
    ] = False
    share_prefixes: Annotated[
        bool,
        typer.Option(
            "--share-prefixes",
            help="Requests of all keys share cached prefixes. A caller can then measure which "
            "prompts others have sent.",
        ),
    ] = False
    sandbox: Annotated[
        Literal["required", "off"],
        typer.Option(
            help="required: uploaded mods run in confined processes, and are refused while these "
            "cannot be confined. off: uploads are refused. The mods of --mods run in both cases.",
        ),
    ] = "required"
    mod_timeout: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=60,
            help="Seconds that an uploaded mod has for an event, before its request fails. Other "
            "requests do not wait for it.",
        ),
    ] = 0.25
    mod_workers: Annotated[
        int,
        typer.Option(
            min=1, max=1024, help="The most uploaded mods that run at the same time, for all keys."
        ),
    ] = 64
    threads: Annotated[
        int | None,
        typer.Option(
            help="Threads of a matrix product on a Linux CPU; 1 or 2 beside other busy processes. "
            "[default: OPENBLAS_NUM_THREADS, or one per core]",
            min=1,
            max=1024,
            show_default=False,
        ),
    ] = None
    max_rows: Annotated[
        int, typer.Option(help="Requests that run together; others wait.", min=1, max=4096)
    ] = 8
    max_waiting: Annotated[
        int, typer.Option(help="Requests that may wait; others are refused.", min=0, max=10**6)
    ] = 256
    chunk: Annotated[
        int | None,
        typer.Option(
            help="The most prompt tokens that one step prefills. "
            "[default: 2048 on a GPU, 256 on a CPU]",
            min=1,
            max=10**6,
            show_default=False,
        ),
    ] = None
    adaptive_chunks: Annotated[
        bool | None,
        typer.Option(
            help="Adapt the size of chunks to measured step times. With 16-bit models, results "
            "then depend on timing. [default: with 32-bit models only]",
            show_default=False,
        ),
    ] = None
    latency_target: Annotated[
        int,
        typer.Option(
            help="Longest step that prefills while other requests decode, in ms.",
            min=1,
            max=10**6,
        ),
    ] = 200
    step_limit: Annotated[
        float,
        typer.Option(
            help="Seconds after which a step of the engine that does not return is logged, and "
            "/healthz responds with 503.",
            min=0.1,
            max=10**6,
        ),
    ] = 60.0
    max_paused: Annotated[
        int,
        typer.Option(
            help="Requests that clients may have paused at a time; more are refused.",
            min=0,
            max=10**6,
        ),
    ] = 16
    pause_limit: Annotated[
        float,
        typer.Option(help="Seconds after which a paused request continues.", min=0.1, max=10**6),
    ] = 600.0
    end_paused: Annotated[
        bool,
        typer.Option(
            "--end-paused", help="End paused requests with an error at --pause-limit instead."
        ),
    ] = False
    kv_memory: Annotated[
        float | None,
        typer.Option(
            help="Memory for the KV caches of each model, in GB. [default: by this machine's "
            "memory]",
            min=0,
            max=1e6,
            show_default=False,
        ),
    ] = None
    prefix_memory: Annotated[
        float | None,
        typer.Option(
            help="Part of it that may keep the prefixes of ended requests, in GB; 0: none. "
            "[default: a quarter]",
            min=0,
            max=1e6,
            show_default=False,
        ),
    ] = None
    resume_seconds: Annotated[
        float,
        typer.Option(
            help="Seconds for which a completion that was cut can be resumed; 0: never.",
            min=0,
            max=10**6,
        ),
    ] = 300.0
    stored_responses: Annotated[
        int,
        typer.Option(
            help="Responses of /v1/responses that are kept for later requests.", min=0, max=10**6
        ),
    ] = 1024
    stored_response_memory: Annotated[
        float, typer.Option(help="Memory for them, in GB.", min=0, max=1e6)
    ] = 0.25
    tools: Annotated[
        list[Path],
        typer.Option(
            help="A Python file with tools that the server runs for gpt-oss, such as python or "
            "browser. Repeatable.",
            show_default=False,
        ),
    ] = field(default_factory=list[Path])
    tool_calls: Annotated[
        int, typer.Option(help="Calls of these tools in one request.", min=1, max=1000)
    ] = 8
    tool_seconds: Annotated[
        float, typer.Option(help="Time limit of such a call, in seconds.", min=0.1, max=3600)
    ] = 30
    truncation: Annotated[
        Literal["disabled", "auto"],
        typer.Option(
            help="Refuse a conversation that does not fit into the context, or leave out its "
            "oldest turns (auto), unless a request says."
        ),
    ] = "disabled"
    reasoning_field: Annotated[
        Literal["both", "reasoning", "reasoning_content"],
        typer.Option(
            help="The field of a message that has the model's reasoning, unless a request says."
        ),
    ] = "both"
    loop_detection: Annotated[
        Literal["off", "cheap", "full"],
        typer.Option(
            help="Find loops, unless a request says: one token that repeats (cheap), or also "
            "up to 64 tokens (full)."
        ),
    ] = "cheap"
    loop_action: Annotated[
        Literal["end", "rewind"],
        typer.Option(
            help="End a completion that loops, or rewind it to where the loop began, unless a "
            "request says."
        ),
    ] = "end"
    send_tracebacks: Annotated[
        bool,
        typer.Option(
            "--send-tracebacks",
            help="Send clients the traceback of a mod that fails, with lines of its source.",
        ),
    ] = False
    trace: Annotated[
        Literal["off", "requests", "tokens"],
        typer.Option(
            help="Trace requests that do not choose: the request with the actions of its mods, or "
            "every token too."
        ),
    ] = "off"
    trace_store: Annotated[
        Path | None,
        typer.Option(
            help="The file that keeps traces. [default: traces.db in the cache folder]",
            show_default=False,
        ),
    ] = None
    trace_prompts: Annotated[
        bool | None,
        typer.Option(
            help="Traces have the prompts of requests. [default: unless other machines can "
            "connect]",
            show_default=False,
        ),
    ] = None
    trace_memory: Annotated[
        float,
        typer.Option(help="The most bytes of traces that are kept, in GB.", min=0.001, max=1e6),
    ] = 0.5
    trace_days: Annotated[
        float, typer.Option(help="Days for which a trace is kept.", min=0.001, max=1e5)
    ] = 30.0
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Log every request, and the traceback of a mod that fails."
        ),
    ] = False
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Log everything, also the bodies of requests, with the prompts of clients.",
        ),
    ] = False
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(
            help="The least severe records of the log. [default: warning; info with --verbose]",
            show_default=False,
        ),
    ] = None
    log_format: Annotated[
        Literal["text", "json"], typer.Option(help="Log lines of text, or of JSON.")
    ] = "text"

    @property
    def least_level(self) -> "Level":
        """The least severe records of the log."""
        if self.log_level and not self.debug:
            return self.log_level
        if self.debug:
            return "debug"
        return "info" if self.verbose else "warning"

    @property
    def config(self) -> "EngineConfig":
        """The engine's limits."""
        from concordance_inference.engine.config import EngineConfig

        return EngineConfig(
            max_rows=self.max_rows,
            max_waiting=self.max_waiting,
            max_waiting_per_owner=self.max_waiting_per_key,
            queue_s=self.queue_seconds,
            chunk=self.chunk,
            adaptive_chunks=self.adaptive_chunks,
            latency_target_s=self.latency_target / 1000,
            step_limit_s=self.step_limit,
            max_paused=self.max_paused,
            pause_limit_s=self.pause_limit,
            ends_paused=self.end_paused,
            kv_bytes=_bytes(self.kv_memory),
            prefix_bytes=_bytes(self.prefix_memory),
            resume_s=self.resume_seconds,
        )

    @property
    def limits(self) -> "Limits":
        """The limits of clients."""
        from msgspec.structs import replace

        return replace(super().limits, rows=self.max_rows, waiting=self.max_waiting)

    @property
    def model_bytes(self) -> int | None:
        """The memory for all models; `None` if it is not set."""
        return _bytes(self.model_memory)


def _bytes(gigabytes: float | None) -> int | None:
    return None if gigabytes is None else int(gigabytes * 1e9)


@dataclass(frozen=True, kw_only=True)
class SampleArgs(ModelArgs):
    """The options of `generate` and `chat`, which sample with mods."""

    mod: Annotated[
        list[str],
        typer.Option(
            help="A mod to run with, as NAME or NAME:key=value,key=value. Repeatable; mods act in "
            "this order. Quote it if a value has spaces: 'NAME:text=Hello, you'; a comma is part "
            "of the value unless a key and = follow it. Lists are JSON: "
            '\'NAME:words=["a","b"]\'.',
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    mods: ModPaths = field(default_factory=list[Path])
    url: Annotated[
        str | None,
        typer.Option(
            help="A running server to use, instead of loading a model. The mods of --mods are "
            "uploaded to it for this command.",
            show_default=False,
        ),
    ] = None
    system: Annotated[str | None, typer.Option(help="A system message.")] = None
    max_tokens: Annotated[
        int, typer.Option(help="Limit of the completion, in tokens.", min=1, max=_MAX_INT)
    ] = 256
    temperature: Annotated[
        float | None,
        typer.Option(help="Sampling temperature; 0 for the top token.", min=0, max=2),
    ] = 0.0
    top_p: Annotated[
        float | None,
        typer.Option(
            help="Sample from the top tokens of this probability. [default: the model's]",
            min=0,
            max=1,
            show_default=False,
        ),
    ] = None
    top_k: Annotated[
        int | None,
        typer.Option(
            help="Sample from this many top tokens; 0 for all. [default: the model's]",
            min=0,
            max=_MAX_INT,
            show_default=False,
        ),
    ] = None
    min_p: Annotated[
        float | None,
        typer.Option(
            help="Sample from tokens at least this probable, relative to the top token. "
            "[default: the model's]",
            min=0,
            max=1,
            show_default=False,
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(help="The same seed gives the same completion.", min=-(2**63), max=2**63 - 1),
    ] = None

    @property
    def sampling(self) -> dict[str, float]:
        """The sampling parameters that are set; the model has defaults for the others."""
        names = ("temperature", "top_p", "top_k", "min_p", "seed")
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class OutputArgs(SampleArgs):
    """The options of `generate` and `chat` about the format and the end of a completion."""

    json_schema: Annotated[
        Path | None,
        typer.Option(
            help="A file with a JSON Schema; the completion is JSON that follows it.",
            show_default=False,
        ),
    ] = None
    regex: Annotated[
        str | None,
        typer.Option(help="A regular expression; the completion is a full match of it."),
    ] = None
    choice: Annotated[
        list[str],
        typer.Option(
            help="A text that the completion may be; it is one of them. Repeatable.",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    grammar: Annotated[
        Path | None,
        typer.Option(
            help="A file with a grammar in Lark's syntax; the completion is one of its texts.",
            show_default=False,
        ),
    ] = None
    min_tokens: Annotated[
        int,
        typer.Option(help="Tokens that the completion has before it may end.", min=0, max=_MAX_INT),
    ] = 0
    stop_token_id: Annotated[
        list[int],
        typer.Option(
            help="The id of a token that ends the completion. Repeatable.", show_default=False
        ),
    ] = field(default_factory=list[int])
    ignore_eos: Annotated[
        bool,
        typer.Option("--ignore-eos", help="Do not end at the model's end-of-sequence tokens."),
    ] = False
    loop_detection: Annotated[
        Literal["off", "cheap", "full"] | None,
        typer.Option(
            help="Find loops: one token that repeats (cheap), or also up to 64 tokens (full). "
            "[default: cheap; off with --ignore-eos]",
            show_default=False,
        ),
    ] = None
    loop_action: Annotated[
        Literal["end", "rewind"] | None,
        typer.Option(
            help="End a completion that loops, or rewind it to where the loop began. "
            "[default: end]",
            show_default=False,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Generate(OutputArgs):
    """The options of `concordance generate`."""

    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")]
    stop: Annotated[
        list[str], typer.Option(help="A string at which the completion ends. Repeatable.")
    ] = field(default_factory=list[str])
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the prompt without the chat template.")
    ] = False
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Colour tokens that mods forced or backtracked.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class WatchMod(SampleArgs):
    """The options of `concordance mods watch`."""

    file: Annotated[Path, typer.Argument(help="A Python file of mods, or a folder of them.")]
    prompt: Annotated[str | None, typer.Argument(help="The prompt.")] = None
    says: Annotated[
        str | None,
        typer.Option(
            help="Play this text of the model in place of a model: its own tokens, one after the "
            "other, whatever the mod forces."
        ),
    ] = None
    script: Annotated[
        str | None,
        typer.Option(
            help="Play this text of the model in place of a model: the token at each position."
        ),
    ] = None
    max_tokens: Annotated[
        int, typer.Option(help="Limit of the completion, in tokens.", min=1, max=_MAX_INT)
    ] = 64


@dataclass(frozen=True, kw_only=True)
class Chat(OutputArgs):
    """The options of `concordance chat`."""

    max_tokens: Annotated[
        int, typer.Option(help="Limit of each reply, in tokens.", min=1, max=_MAX_INT)
    ] = 512
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sampling temperature; 0 for the top token. [default: the model's]",
            min=0,
            max=2,
            show_default=False,
        ),
    ] = None
    reasoning_effort: Annotated[
        str | None,
        typer.Option(
            help="How much the model reasons, such as low, medium or high; none: not at all. "
            "[default: the model's]",
            show_default=False,
        ),
    ] = None
    thinking_token_budget: Annotated[
        int | None,
        typer.Option(
            help="Limit of the reasoning, in tokens. [default: none]",
            min=0,
            max=_MAX_INT,
            show_default=False,
        ),
    ] = None
    auto_resume: Annotated[
        int | None,
        typer.Option(
            help="How often a reply that --max-tokens cuts is resumed without a command. "
            "[default: 2 in a terminal, 0 on a pipe]",
            min=0,
            max=1000,
            show_default=False,
        ),
    ] = None
    reasoning: Annotated[
        Literal["show", "hide"] | None,
        typer.Option(
            help="Show the reasoning, dimmed, or hide it. [default: show in a terminal, hide on a "
            "pipe]",
            show_default=False,
        ),
    ] = None
    truncate_thinking: Annotated[
        int | None,
        typer.Option(
            help="Show this many characters of the reasoning. [default: all]",
            min=0,
            max=_MAX_INT,
            show_default=False,
        ),
    ] = None
    truncate_response: Annotated[
        int | None,
        typer.Option(
            help="Show this many characters of the content. [default: all]",
            min=0,
            max=_MAX_INT,
            show_default=False,
        ),
    ] = None
    markdown: Annotated[bool, typer.Option(help="Render Markdown in replies, in a terminal.")] = (
        True
    )
    stats: Annotated[
        bool,
        typer.Option(help="Show the time to the first token and tokens/s, in a terminal."),
    ] = True
    load: Annotated[
        str | None,
        typer.Option(
            help="Continue a saved conversation: its name, or the path of its file.",
            show_default=False,
        ),
    ] = None
    autosave: Annotated[bool, typer.Option(help="Save every conversation after each reply.")] = (
        False
    )
    conversations: Annotated[
        Path | None,
        typer.Option(
            help="The folder of saved conversations. [default: concordance/conversations in "
            "$XDG_DATA_HOME]",
            show_default=False,
        ),
    ] = None
    history: Annotated[bool, typer.Option(help="Keep the lines that are typed for later runs.")] = (
        True
    )
    profiles: Annotated[
        Path | None,
        typer.Option(
            help="A TOML file of profiles and prompts. [default: concordance/chat.toml in "
            "$XDG_CONFIG_HOME]",
            show_default=False,
        ),
    ] = None
    profile: Annotated[str | None, typer.Option(help="The profile to use.", show_default=False)] = (
        None
    )
    prompt: Annotated[
        str | None,
        typer.Option(help="The prompt of the profiles' file to use.", show_default=False),
    ] = None


@dataclass(frozen=True, kw_only=True)
class Demo(ModelArgs):
    """The options of `concordance demo`."""

    max_tokens: Annotated[
        int, typer.Option(help="Limit of each completion, in tokens.", min=1, max=_MAX_INT)
    ] = 40


@dataclass(frozen=True, kw_only=True)
class Bench(ModelArgs):
    """The options of `concordance bench`."""

    only: Annotated[
        list[str],
        typer.Option(
            help="A group of figures: start, o200k, decode, mods, edits, constraints, prefill, "
            "latency, overlap, conversation, memory, batches, choices, sharing, loops, pauses, "
            "http or harmony. "
            "Repeatable. [default: all]",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    rounds: Annotated[
        int, typer.Option(help="Measurements of each figure; the median is shown.", min=1)
    ] = 5
    tokens: Annotated[
        int, typer.Option(help="Tokens of a decoding round on the real model.", min=8)
    ] = 32
    quick: Annotated[
        bool, typer.Option("--quick", help="Only the tiny model: the engine's own cost.")
    ] = False
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.")] = None
    before: Annotated[
        Path | None,
        typer.Option(help="Also show the values of an earlier run, which --json wrote."),
    ] = None
    plot: Annotated[bool, typer.Option("--plot", help="Also draw the ratios.")] = False
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Also write a trace of the engine's steps to this file, in Chrome's format."
        ),
    ] = None
    profile: Annotated[
        bool, typer.Option("--profile", help="Also show which functions a step spends time in.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class NewMod:
    """The options of `concordance mods new`."""

    name: Annotated[str, typer.Argument(help="The mod's name.")]
    folder: Annotated[Path, typer.Option(help="The folder to write to.")] = Path()
    function: Annotated[
        bool, typer.Option("--function", help="Write a function instead of a class.")
    ] = False
    script: Annotated[
        bool,
        typer.Option("--script", help="Write a script, which reads from top to bottom."),
    ] = False


@dataclass(frozen=True, kw_only=True)
class CheckMods:
    """The options of `concordance mods test`."""

    file: Annotated[Path, typer.Argument(help="A Python file of mods, or a folder of them.")]
    mod: Annotated[
        list[str],
        typer.Option(
            help="A mod to check, as NAME or NAME:key=value,key=value. Repeatable. "
            "[default: all of the file]",
            show_default=False,
        ),
    ] = field(default_factory=list[str])
    skip_tests: Annotated[
        bool, typer.Option("--skip-tests", help="Do not run the tests of the mods.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class ListMods:
    """The options of `concordance mods list`."""

    json: Annotated[
        bool, typer.Option("--json", help="Print the server's descriptions as JSON.")
    ] = False
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class ListRequests:
    """The options of `concordance requests list`."""

    json: Annotated[
        bool, typer.Option("--json", help="Print the server's descriptions as JSON.")
    ] = False
    url: Url = DEFAULT_URL


RequestId = Annotated[str, typer.Argument(help="The id of the request, or of its completion.")]


@dataclass(frozen=True, kw_only=True)
class CancelRequest:
    """The options of `concordance requests cancel`."""

    id: RequestId
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class ActOnRequest:
    """The options of `concordance requests act`."""

    id: RequestId
    action: Annotated[
        str,
        typer.Argument(help='A type, such as pause, or JSON: \'{"type": "force", ...}\'.'),
    ]
    url: Url = DEFAULT_URL


CompletionId = Annotated[str, typer.Argument(help="The id of the completion, or its request.")]


@dataclass(frozen=True, kw_only=True)
class BranchRequest:
    """The options of `concordance requests branch`."""

    id: CompletionId
    at: Annotated[
        int, typer.Option(help="The index of the token that is replaced; those before are kept.")
    ]
    text: Annotated[str | None, typer.Option(help="The text to put there.")] = None
    token_ids: Annotated[
        str | None, typer.Option(help="The tokens to put there, such as 11,2602.")
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(help="Of the whole completion. [default: those of the other one]")
    ] = None
    temperature: Annotated[float | None, typer.Option(min=0, max=100, help="From there on.")] = None
    seed: Annotated[int | None, typer.Option(help="From there on.")] = None
    mod: Annotated[
        list[str], typer.Option(help="A mod of the server, in place of those of the other one.")
    ] = field(default_factory=list[str])
    json: Annotated[bool, typer.Option("--json", help="Print the response as JSON.")] = False
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class ShowBranches:
    """The options of `concordance requests tree`."""

    id: CompletionId
    json: Annotated[
        bool, typer.Option("--json", help="Print the server's description as JSON.")
    ] = False
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class PushMod:
    """The options of `concordance mods push`."""

    file: Annotated[Path, typer.Argument(help="A Python file of mods, or a folder of them.")]
    mod: Annotated[
        str | None, typer.Option(help="The mod to upload; needed if there are several.")
    ] = None
    name: Annotated[
        str | None, typer.Option(help="The name that requests use. [default: the mod's own]")
    ] = None
    folder: Annotated[
        Path | None, typer.Option(help="Upload every Python file of this folder with it.")
    ] = None
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class RemoveMod:
    """The options of `concordance mods rm`."""

    name: Annotated[str, typer.Argument(help="The mod's name.")]
    owner: ModOwner = None
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class ShareMod:
    """The options of `concordance mods share`."""

    name: Annotated[str, typer.Argument(help="The mod's name.")]
    owner: ModOwner = None
    stop_sharing: Annotated[
        bool, typer.Option("--stop-sharing", help="Let only its owner use it from now on.")
    ] = False
    url: Url = DEFAULT_URL


@dataclass(frozen=True, kw_only=True)
class ListModels:
    """The options of `concordance models list`: none of its own."""


@dataclass(frozen=True, kw_only=True)
class DownloadModel:
    """The options of `concordance models download`."""

    name: Annotated[str, typer.Argument(help="An id on the Hugging Face hub, OWNER/NAME.")]


@dataclass(frozen=True, kw_only=True)
class RemoveModel:
    """The options of `concordance models remove`."""

    name: Annotated[str, typer.Argument(help="The model, as `concordance models` lists it.")]


@dataclass(frozen=True, kw_only=True)
class Doctor(Serve):
    """The options of `concordance doctor`: those of `serve`, whose settings it checks."""

    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False
    config_file: ConfigFile = None


@dataclass(frozen=True, kw_only=True)
class Config:
    """The options of `concordance config`."""

    command: Annotated[
        str | None, typer.Argument(help="A command, such as serve. [default: all]")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
    config_file: ConfigFile = None


TraceStorePath = Annotated[
    Path | None,
    typer.Option(
        "--store",
        help="The file that keeps traces. [default: traces.db in the cache folder]",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ListTraces:
    """The options of `concordance traces list`."""

    store: TraceStorePath = None
    model: Annotated[
        str | None, typer.Option(help="Only traces of this model.", show_default=False)
    ] = None
    mod: Annotated[
        str | None, typer.Option(help="Only traces of requests with this mod.", show_default=False)
    ] = None
    status: Annotated[
        Literal["ended", "failed"] | None,
        typer.Option(help="Only traces of requests that ended so.", show_default=False),
    ] = None
    search: Annotated[
        str | None,
        typer.Option(help="A text in the prompt or the completion.", show_default=False),
    ] = None
    limit: Annotated[int, typer.Option(help="The most traces.", min=1, max=1000)] = 50


@dataclass(frozen=True, kw_only=True)
class ShowTrace:
    """The options of `concordance traces show`."""

    name: Annotated[str, typer.Argument(metavar="TRACE", help="The id of the trace.")]
    store: TraceStorePath = None
    json: Annotated[bool, typer.Option("--json", help="Print the trace as JSON.")] = False


@dataclass(frozen=True, kw_only=True)
class ExportTraces(ListTraces):
    """The options of `concordance traces export`."""

    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TRACE...]",
            help="The ids of traces, instead of those that the options select.",
            show_default=False,
        ),
    ] = None
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write one trace, or two beside each other, as a page in this file.",
            show_default=False,
        ),
    ] = None
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The file. [default: standard output]", show_default=False
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class ImportTraces:
    """The options of `concordance traces import`."""

    file: Annotated[Path, typer.Argument(help="A file of JSON Lines, as `export` writes it.")]
    store: TraceStorePath = None


@dataclass(frozen=True, kw_only=True)
class Replay(ModelArgs):
    """The options of `concordance replay`."""

    trace: Annotated[
        str,
        typer.Argument(
            metavar="TRACE",
            help="The id of a trace, or a file of JSON Lines as `traces export` writes it.",
        ),
    ]
    mod_files: Annotated[
        list[Path],
        typer.Option(
            "--mod",
            help="A file of mods that replace those of the trace with the same names. Repeatable.",
            show_default=False,
        ),
    ] = field(default_factory=list[Path])
    mods: ModPaths = field(default_factory=list[Path])
    start: Annotated[
        int,
        typer.Option(
            "--from",
            help="Tokens of the completion that are given; those after are generated.",
            min=0,
        ),
    ] = 0
    other_model: Annotated[
        bool, typer.Option("--other-model", help="Accept a model with another hash.")
    ] = False
    store: TraceStorePath = None
    url: Annotated[
        str | None,
        typer.Option(
            help="A running server to read the trace from, instead of the store. The replay runs "
            "here.",
            show_default=False,
        ),
    ] = None
    json: Annotated[
        bool, typer.Option("--json", help="Print the trace of the replay as a line of JSON.")
    ] = False


@dataclass(frozen=True, kw_only=True)
class DeleteTraces:
    """The options of `concordance traces delete`."""

    names: Annotated[list[str], typer.Argument(metavar="TRACE...", help="The ids of the traces.")]
    store: TraceStorePath = None


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """The options of `concordance keys new`."""

    role: Annotated[
        Literal["infer", "mods:write", "admin", "metrics"],
        typer.Argument(
            help="infer: generate. mods:write: also upload mods. admin: everything. metrics: only "
            "read /metrics."
        ),
    ]
    owner: Annotated[
        str | None,
        typer.Option(
            help="Who owns what its requests make. Keys of one owner see the same. [default: this "
            "key alone]",
            show_default=False,
        ),
    ] = None
    label: Annotated[str, typer.Option(help="What to call it in lists.", show_default=False)] = ""
    days: Annotated[
        float | None,
        typer.Option(
            help="Days after which it expires. [default: never]",
            min=0.001,
            max=36500,
            show_default=False,
        ),
    ] = None
    key_file: KeyFile = None


@dataclass(frozen=True, kw_only=True)
class ListKeys:
    """The options of `concordance keys list`."""

    json: Annotated[bool, typer.Option("--json", help="Print them as JSON.")] = False
    key_file: KeyFile = None


@dataclass(frozen=True, kw_only=True)
class RevokeKeys:
    """The options of `concordance keys revoke`."""

    ids: Annotated[list[str], typer.Argument(metavar="KEY...", help="The ids of the keys.")]
    key_file: KeyFile = None


@dataclass(frozen=True, kw_only=True)
class UploadKey:
    """The options of `concordance keys upload`: none of its own."""
