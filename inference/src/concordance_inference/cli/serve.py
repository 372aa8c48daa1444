"""`concordance serve`."""

import gc
import ipaddress
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from rich.console import Console

from concordance_inference.models.blas import preload_blas
from concordance_inference.models.options import ModelOptions
from concordance_inference.mods.catalog import ModCatalog

logger = logging.getLogger(__name__)

#: Connections that may wait to be accepted.
_BACKLOG = 2048


def run(
    model: str | None,
    mod_paths: Sequence[Path],
    *,
    options: ModelOptions,
    host: str,
    port: int,
    bounds: Mapping[str, float | None],
    mlock: bool,
    verbose: bool,
) -> None:
    """Load the model, listen, and answer until told to stop.

    Args:
        model: What to load; `None` for the embedded default.
        mod_paths: Files and folders of mods.
        options: How to load the model.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        bounds: The engine's bounds, by the names of `EngineConfig`.
        mlock: Whether to keep the weights in memory.
        verbose: Whether to log every request.
    """
    _exit_on_interrupt()
    console = Console(stderr=True, highlight=False)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("concordance_inference.models.blas").setLevel(logging.INFO)
    _refuse_public(host)
    catalog = ModCatalog(mod_paths)
    with _bind(host, port) as listener:
        preload_blas()
        _serve(
            console, listener, model, catalog, bounds, options=options, mlock=mlock, verbose=verbose
        )


def _exit_on_interrupt() -> None:
    """Let Ctrl-C end the process immediately while the model is loaded.

    There is nothing to clean up yet, and the thread that loads the model cannot be stopped: an
    exception in this thread would print a traceback, or abort the process.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))


def _serve(
    console: Console,
    listener: socket.socket,
    model: str | None,
    catalog: ModCatalog,
    bounds: Mapping[str, float | None],
    *,
    options: ModelOptions,
    mlock: bool,
    verbose: bool,
) -> None:
    """Load the model, say so, and answer until a signal ends it."""
    from concordance_inference.cli.http_server import http_server
    from concordance_inference.engine.config import EngineConfig
    from concordance_inference.mods.compiling import prepare_constraints
    from concordance_inference.runtime import Runtime
    from concordance_inference.server.app import create_app
    from concordance_inference.server.context import ServerContext

    runtime = Runtime(
        model,
        catalog,
        config=msgspec.convert(bounds, EngineConfig),
        options=options,
        locks_memory=mlock,
        progress=lambda what: console.print(f"… {what}"),
    )
    with runtime:
        prepare_constraints(runtime.loaded.tokenizer)
        # What is loaded stays: a collection that looked at all of it would stop every stream.
        gc.freeze()
        context = ServerContext(
            engine=runtime,
            chat=runtime.chat,
            mods=catalog,
            hosts=frozenset({listener.getsockname()[0]}),
        )
        names = [entry.name for entry in catalog.entries()]
        _announce(console, _url(listener), runtime.engine.model.id, names)
        server = http_server(create_app(context), runtime.stop, logs_requests=verbose)
        # The server ends on a signal, then sends it on to whoever handled it before: nobody, so
        # that the engine is stopped and the process ends well.
        for ending in (signal.SIGTERM, signal.SIGINT):
            signal.signal(ending, lambda *_: None)
        server.run(sockets=[listener])


def _refuse_public(host: str) -> None:
    """Exit if the address is not a loopback one: nothing here asks callers who they are."""
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        print(
            f"concordance: --host {host} is not a loopback address, and this server has no keys "
            "to ask callers for; listen on 127.0.0.1 and put a proxy that does in front of it",
            file=sys.stderr,
        )
        sys.exit(2)


def _bind(host: str, port: int) -> socket.socket:
    """A socket at the address; found out before the model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        print(
            f"concordance: cannot listen on {host}:{port}: {exc.strerror}; choose another --port "
            "(0 takes any that is free)",
            file=sys.stderr,
        )
        sys.exit(1)
    listener.set_inheritable(True)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _announce(console: Console, url: str, model: str, mods: Sequence[str]) -> None:
    """Say where, which model, which mods, and what to try."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
    }
    if "greeting" in mods:
        body["model"] = f"{model}/greeting"
    console.print(f"\n[bold]Concordance[/] listens on [bold]{url}[/]")
    console.print(f"  model  {model}")
    console.print(f"  mods   {', '.join(mods) or 'none'}")
    console.print("\nTry it:", style="dim")
    data = shlex.quote(msgspec.json.encode(body).decode())
    console.print(
        f"  curl {url}/v1/chat/completions -H 'Content-Type: application/json' -d {data}\n",
        soft_wrap=True,
        markup=False,
    )
