"""`concordance serve`."""

import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console

from concordance_inference.cli.collection import collect_as_usual
from concordance_inference.cli.given_models import GivenModels, given_models
from concordance_inference.cli.last_resort import (
    EXIT_AT_ONCE_S,
    EXIT_MARGIN_S,
    exit_later,
    exit_now,
)
from concordance_inference.cli.listener import cannot_listen, is_wildcard, listen
from concordance_inference.cli.options import Serve
from concordance_inference.cli.serve_access import (
    access_of,
    check_names,
    described_access,
    hosts_of,
    keyring_of,
    origins_of,
)
from concordance_inference.cli.server_log import set_up_log
from concordance_inference.cli.traces import closing_traces, trace_hub
from concordance_inference.hosted_tools import HostedLimits, HostedTools, load_hosted_tools
from concordance_inference.keys.keyring import Keyring
from concordance_inference.loop_detection import LoopDetection
from concordance_inference.models.blas import log_blas, preload_blas
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.mods.mod_output import captured_output, log_line
from concordance_inference.sandbox.options import SandboxOptions
from concordance_inference.sandbox.supervisor import Supervisor
from concordance_inference.traces.mod_lines import ModLines, logged_lines

if TYPE_CHECKING:
    from concordance_inference.server.context import ServerContext
    from concordance_inference.traces.hub import TraceHub

logger = logging.getLogger(__name__)


def run(options: Serve) -> None:
    """Load the model, listen, and serve until a signal."""
    _exit_on_interrupt()
    console = Console(stderr=True, highlight=False)
    set_up_log(level=options.least_level, form=options.log_format, has_prompts=options.debug)
    keyring = keyring_of(options)
    check_names(options)
    models = given_models(options)
    sandbox = None if options.sandbox == "off" else Supervisor(_sandbox_options(options))
    catalog = ModCatalog(options.mods, sandbox)
    hub = trace_hub(options)
    lines = ModLines(hub)
    with (
        _bind(options.host, options.port) as listener,
        captured_output(lines.sink(log_line)),
        logged_lines(lines),
        closing_traces(hub),
        sandbox or nullcontext(),  # before a model, a key or a conversation is in this process
    ):
        preload_blas(num_threads=options.threads, is_logged=False)  # tools may import mlx
        limits = HostedLimits(calls=options.tool_calls, seconds=options.tool_seconds)
        tools = load_hosted_tools(options.tools, limits)
        log_blas()  # after all that can be wrong with the options
        _serve(console, listener, _Parts(options, keyring, models, catalog, tools, hub))


def _sandbox_options(options: Serve) -> SandboxOptions:
    usual = SandboxOptions()
    return SandboxOptions(
        event_s=options.mod_timeout,
        prefilled_s=max(usual.prefilled_s, options.mod_timeout),
        max_workers=options.mod_workers,
    )


@dataclass(frozen=True)
class _Parts:
    """What a server is made of, besides its address."""

    options: Serve
    keyring: Keyring
    models: GivenModels
    catalog: ModCatalog
    tools: HostedTools
    hub: "TraceHub"


def _exit_on_interrupt() -> None:
    """Exit immediately on Ctrl-C while the model is loaded.

    There is nothing to clean up yet, and the thread that loads the model cannot be stopped: an
    exception in this one would end in a traceback, or abort the process.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))


def _serve(console: Console, listener: socket.socket, parts: _Parts) -> None:
    """Listen, load the first model, announce the server, and serve until a signal."""
    from concordance_inference.cli.served import model_pool
    from concordance_inference.pool.idle import unloading_idle
    from concordance_inference.server.app import create_app
    from concordance_inference.server.context import ServerContext
    from concordance_inference.server.operations.tracing import set_up_tracing
    from concordance_inference.server.responses.response_store import ResponseStore
    from concordance_inference.server.startup import Startup
    from concordance_inference.server.transport.http_server import http_server

    options, keyring, catalog = parts.options, parts.keyring, parts.catalog
    collect_as_usual()
    startup = Startup(is_over=False)

    def progress(what: str) -> None:
        startup.doing = what
        console.print(f"… {what}")

    pool = model_pool(options, parts.models, catalog, parts.tools, progress=progress)
    with pool, unloading_idle(pool, options.idle_unload):
        context = ServerContext(
            models=pool,
            mods=catalog,
            hosts=hosts_of(options, listener.getsockname()[0]),
            listens_on_all=is_wildcard(listener.getsockname()[0]),
            cors_origins=origins_of(options),
            access=access_of(options, keyring),
            limits=options.limits,
            sends_tracebacks=options.send_tracebacks,
            reasoning_field=options.reasoning_field,
            truncation=options.truncation,
            loop_detection=LoopDetection(mode=options.loop_detection, action=options.loop_action),
            startup=startup,
            traces=parts.hub,
            responses=ResponseStore(
                max_responses=options.stored_responses,
                max_bytes=int(options.stored_response_memory * 1e9),
            ),
        )
        set_up_tracing()

        async def load() -> None:
            await pool.load(pool.default)
            startup.is_over = True
            names = [entry.name for entry in catalog.entries()]
            models = [card.name for card in pool.cards()]
            _announce(console, _url(listener), models, names, keyring)

        server = http_server(
            create_app(context),
            pool.stop,
            limits=options.limits,
            is_stuck=lambda: pool.is_stuck,
            on_start=load,
            on_signal=lambda number: _end_soon(context, number),
        )
        # uvicorn shuts down on a signal, then raises it again for the handler that was there
        # before. These handlers ignore it, so that the engine is stopped and the exit status is 0.
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, lambda *_: None)
        server.run(sockets=[listener])
    if server.failure is not None:
        raise server.failure
    if reason := pool.unstoppable:
        exit_now(reason)


def _end_soon(context: "ServerContext", number: int) -> None:
    """Refuse new requests, and exit in any case after a time; at once while the model is loaded.

    After a second signal, this time is short.
    """
    if not context.startup.is_over:  # as in `_exit_on_interrupt`
        os._exit(128 + number)
    is_second = context.draining.is_set()
    context.draining.set()
    exit_later(EXIT_AT_ONCE_S if is_second else context.limits.drain_s + EXIT_MARGIN_S)


def _bind(host: str, port: int) -> socket.socket:
    """Bind the address before the model is loaded, so that a failure is immediate."""
    try:
        return listen(host, port)
    except OSError as exc:
        print(f"concordance: {cannot_listen(host, port, exc)}", file=sys.stderr)
        sys.exit(1)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _announce(
    console: Console, url: str, models: Sequence[str], mods: Sequence[str], keyring: Keyring
) -> None:
    """Print the URL, the models, the mods, who may use them, and a command to try."""
    model = models[0]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    }
    if "greeting" in mods:
        body["model"] = f"{model}/greeting"
    console.print(f"\n[bold]Concordance[/] listens on [bold]{url}[/]")
    console.print(f"  {'models' if len(models) > 1 else 'model '} {', '.join(models)}")
    console.print(f"  mods   {', '.join(mods) or 'none'}")
    console.print(f"  page   {url}/ [dim](every token, in a browser)[/]")
    console.print(f"  {described_access(keyring)}", soft_wrap=True, highlight=False)
    console.print("\nTry it:", style="dim")
    data = shlex.quote(msgspec.json.encode(body).decode())
    key = ' -H "Authorization: Bearer $CONCORDANCE_API_KEY"' if keyring.is_needed else ""
    console.print(
        f"  curl {url}/v1/chat/completions{key} -H 'Content-Type: application/json' -d {data}\n",
        soft_wrap=True,
        markup=False,
    )
