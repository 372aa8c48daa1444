"""The commands. Imports nothing heavy, so that `--help` is quick.

The work of each command is in a module of its own, imported when the command runs.
"""

import sys

import typer

from concordance_inference.cli.options import (
    ActOnRequest,
    Bench,
    BranchRequest,
    CancelRequest,
    Chat,
    CheckMods,
    Config,
    ConfigFile,
    DeleteTraces,
    Demo,
    Doctor,
    DownloadModel,
    ExportTraces,
    Generate,
    ImportTraces,
    ListKeys,
    ListModels,
    ListMods,
    ListRequests,
    ListTraces,
    NewKey,
    NewMod,
    PushMod,
    RemoveMod,
    RemoveModel,
    Replay,
    RevokeKeys,
    Serve,
    ShareMod,
    ShowBranches,
    ShowTrace,
    UploadKey,
    WatchMod,
)
from concordance_inference.cli.takes import takes

app = typer.Typer(
    name="concordance",
    help="LLM inference on MLX in which every token passes through your code.",
    epilog="Options can also be set in variables (CONCORDANCE_MODEL, CONCORDANCE_PORT, ...) and in "
    "a file concordance.toml; `concordance config` lists them with their values.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
mods_app = typer.Typer(
    help="Write, test, list, upload and delete mods.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(mods_app, name="mods")
requests_app = typer.Typer(
    help="List, cancel, act on and branch off the requests of a running server.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(requests_app, name="requests")
traces_app = typer.Typer(
    help="List, show, export, import and delete traces of requests.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(traces_app, name="traces")
keys_app = typer.Typer(
    help="Make, list and revoke the keys that callers of a server need.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(keys_app, name="keys")
models_app = typer.Typer(rich_markup_mode=None)
app.add_typer(models_app, name="models")


@app.command()
@takes(Serve, announces=True)
def serve(options: Serve) -> None:
    """Serve the OpenAI API."""
    from concordance_inference.cli import serve as command

    command.run(options)


@app.command()
@takes(Generate)
def generate(options: Generate) -> None:
    """Print the completion of one prompt as it is generated."""
    from concordance_inference.cli import generate as command

    command.run(options)


@app.command()
@takes(Chat)
def chat(options: Chat) -> None:
    """Chat with the model in the terminal."""
    from concordance_inference.cli.chat import command

    command.run(options)


@app.command()
@takes(Demo)
def demo(options: Demo) -> None:
    """Show four small mods, with and without, side by side."""
    from concordance_inference.cli import demo as command

    command.run(options)


@app.command()
@takes(Bench)
def bench(options: Bench) -> None:
    """Measure speed against mlx-lm, in one run."""
    from concordance_inference.cli import bench as command

    command.run(options)


@app.command()
@takes(Config, settings_of="")
def config(options: Config) -> None:
    """Print every setting with its value, where it comes from, and its other names."""
    from concordance_inference.cli import config as command

    command.run(options)


@app.command()
@takes(Doctor, settings_of="serve")
def doctor(options: Doctor) -> None:
    """Check what `serve` needs, with its options: device, memory, model, cache, port, mods."""
    from concordance_inference.cli.doctor import command

    command.run(options)


@models_app.callback(invoke_without_command=True)
def models(ctx: typer.Context, config_file: ConfigFile = None) -> None:
    """List, download and remove models. Without a command: list."""
    if ctx.invoked_subcommand is None:
        models_list(ctx=ctx, config_file=config_file)


@models_app.command("list")
@takes(ListModels, settings_of="")
def models_list(_: ListModels) -> None:
    """List the models that can be loaded on this machine without a download."""
    from concordance_inference.cli import models as command

    command.run()


@models_app.command("download")
@takes(DownloadModel, settings_of="")
def models_download(options: DownloadModel) -> None:
    """Download a model from the Hugging Face hub into the store, or continue to do so."""
    from concordance_inference.cli import models as command

    command.download(options.name)


@models_app.command("remove")
@takes(RemoveModel, settings_of="")
def models_remove(options: RemoveModel) -> None:
    """Delete a model from the store and from the hub's cache."""
    from concordance_inference.cli import models as command

    command.remove(options.name)


@app.command()
@takes(Replay)
def replay(options: Replay) -> None:
    """Run the request of a trace again; exit with 1 at the first token that differs."""
    from concordance_inference.cli import replay as command

    command.run(options)


@mods_app.command("new")
@takes(NewMod)
def mods_new(options: NewMod) -> None:
    """Write a template of a mod, and of its test."""
    from concordance_inference.cli import mods as command

    command.new(options)


@mods_app.command("test")
@takes(CheckMods)
def mods_test(options: CheckMods) -> None:
    """Run the tests of a file of mods, and check that its mods follow the rules."""
    from concordance_inference.cli import mods_check as command

    command.run(options)


@mods_app.command("watch")
@takes(WatchMod)
def mods_watch(options: WatchMod) -> None:
    """Run a mod again on every save of its file, and show what it did."""
    from concordance_inference.cli import mods_watch as command

    command.run(options)


@mods_app.command("list")
@takes(ListMods)
def mods_list(options: ListMods) -> None:
    """List the mods of a running server."""
    from concordance_inference.cli import mods as command

    command.list_(options)


@mods_app.command("push")
@takes(PushMod)
def mods_push(options: PushMod) -> None:
    """Upload a mod to a running server."""
    from concordance_inference.cli import mods as command

    command.push(options)


@mods_app.command("rm")
@takes(RemoveMod)
def mods_rm(options: RemoveMod) -> None:
    """Delete an uploaded mod from a running server."""
    from concordance_inference.cli import mods as command

    command.remove(options)


@mods_app.command("share")
@takes(ShareMod)
def mods_share(options: ShareMod) -> None:
    """Let all callers of a server use an uploaded mod; needs an admin key."""
    from concordance_inference.cli import mods as command

    command.share(options)


@requests_app.command("list")
@takes(ListRequests)
def requests_list(options: ListRequests) -> None:
    """List what a server runs."""
    from concordance_inference.cli import requests as command

    command.list_(options)


@requests_app.command("cancel")
@takes(CancelRequest)
def requests_cancel(options: CancelRequest) -> None:
    """Cancel a request."""
    from concordance_inference.cli import requests as command

    command.cancel(options)


@requests_app.command("act")
@takes(ActOnRequest)
def requests_act(options: ActOnRequest) -> None:
    """Apply an action to a request, such as pause, and print what it did."""
    from concordance_inference.cli import requests as command

    command.act(options)


@requests_app.command("branch")
@takes(BranchRequest)
def requests_branch(options: BranchRequest) -> None:
    """Generate another completion from a token of one that runs, or has ended, on."""
    from concordance_inference.cli import branches as command

    command.branch(options)


@requests_app.command("tree")
@takes(ShowBranches)
def requests_tree(options: ShowBranches) -> None:
    """Print the tree of branches in which a completion is."""
    from concordance_inference.cli import branches as command

    command.tree(options)


@traces_app.command("list")
@takes(ListTraces)
def traces_list(options: ListTraces) -> None:
    """List the traces that are kept, the newest first."""
    from concordance_inference.cli import traces as command

    command.list_(options)


@traces_app.command("show")
@takes(ShowTrace)
def traces_show(options: ShowTrace) -> None:
    """Print a trace: every token, who decided it, and what mods did."""
    from concordance_inference.cli import traces as command

    command.show(options)


@traces_app.command("export")
@takes(ExportTraces)
def traces_export(options: ExportTraces) -> None:
    """Write traces as JSON Lines."""
    from concordance_inference.cli import traces as command

    command.export(options)


@traces_app.command("import")
@takes(ImportTraces)
def traces_import(options: ImportTraces) -> None:
    """Add the traces of a file of JSON Lines."""
    from concordance_inference.cli import traces as command

    command.import_(options)


@traces_app.command("delete")
@takes(DeleteTraces)
def traces_delete(options: DeleteTraces) -> None:
    """Delete traces."""
    from concordance_inference.cli import traces as command

    command.delete(options)


@keys_app.command("new")
@takes(NewKey)
def keys_new(options: NewKey) -> None:
    """Make a key, and print it once: only its SHA-256 is kept."""
    from concordance_inference.cli import keys as command

    command.new(options)


@keys_app.command("list")
@takes(ListKeys)
def keys_list(options: ListKeys) -> None:
    """List the keys: their ids, not the keys themselves."""
    from concordance_inference.cli import keys as command

    command.list_(options)


@keys_app.command("revoke")
@takes(RevokeKeys)
def keys_revoke(options: RevokeKeys) -> None:
    """Revoke keys. A running server refuses them at once."""
    from concordance_inference.cli import keys as command

    command.revoke(options)


@keys_app.command("upload")
@takes(UploadKey, settings_of="")
def keys_upload(_: UploadKey) -> None:
    """Print the key of uploads to a server on this machine that has no keys."""
    from concordance_inference.cli import keys as command

    command.upload()


def main() -> None:
    """Run the command line; expected errors are printed in one line, after a mod's traceback."""
    try:
        app()
    except Exception as exc:
        from concordance_shared import ConcordanceError  # too slow to import for `--help`

        is_expected = isinstance(exc, ConcordanceError | OSError | UnicodeError)
        if not is_expected and not _lacks_backend(exc):
            raise
        print(f"{_mods_traceback(exc)}concordance: {_shown(exc)}", file=sys.stderr)
        sys.exit(1)


_NO_BACKEND = (
    "MLX is installed without the code for a device; install one of "
    "`pip install 'concordance-inference[cpu]'` and `pip install 'concordance-inference[cuda]'`; "
    "with uvx, write `uvx --from 'concordance-inference[cpu]' concordance`"
)


def _lacks_backend(exc: Exception) -> bool:
    """True if `import mlx.core` failed, as it does on Linux without one of the extras."""
    return isinstance(exc, ImportError) and (exc.name == "mlx.core" or "libmlx" in str(exc))


def _mods_traceback(exc: Exception) -> str:
    """The lines of a mod's own code that raised; empty for other errors."""
    from concordance_inference.cli.mod_traceback import mod_traceback

    trace = mod_traceback(exc)
    return f"{_encodable(trace)}\n" if trace else ""


def _shown(exc: Exception) -> str:
    """The error's message, in characters that every terminal can show."""
    if _lacks_backend(exc):
        return _NO_BACKEND
    text = f"input is not UTF-8: {exc}" if isinstance(exc, UnicodeError) else str(exc)
    return _encodable(text)


def _encodable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
