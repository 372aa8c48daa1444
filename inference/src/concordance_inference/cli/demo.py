"""`concordance demo`: four small mods, with and without, side by side."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest

from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from concordance_inference.cli.generate import conversation
from concordance_inference.cli.options import Demo
from concordance_inference.cli.start import parse_mod, running
from concordance_inference.cli.transcript import STYLES, transcript
from concordance_inference.generation import SamplingParams, TokensDelta, Update
from concordance_inference.trace import TokenTrace


class Scene(Struct, frozen=True):
    """A question and the mod that its completion runs with."""

    mod: str
    shows: str
    question: str


SCENES = (
    Scene("greeting", "forces tokens at the start", "What is the capital of France?"),
    Scene(
        "replace:find=Paris,replacement=Lyon",
        "backtracks over a phrase and forces another",
        "What is the capital of France?",
    ),
    Scene(
        "avoid:words=blue",
        "backtracks over a word and bans it there",
        "Name three colors of the rainbow.",
    ),
    Scene("stop_after_sentences:count=1", "ends after one sentence", "Tell me about the moon."),
)


def run(options: Demo) -> None:
    """Show each scene twice, side by side: without its mod and with it."""
    console = Console(highlight=False)
    with running(options) as (runtime, _):
        console.print(
            Text.assemble(
                "sampled, ",
                ("forced", STYLES["forced"]),
                ", ",
                ("backtracked", STYLES["backtracked"]),
                "\n",
            )
        )
        for scene in SCENES:
            requests = [
                runtime.request(
                    conversation(scene.question, None),
                    mods=runtime.mods.resolve([parse_mod(mod) for mod in mods], strict=False),
                    max_tokens=options.max_tokens,
                    sampling=SamplingParams(temperature=0.0),
                    show_tokens=True,
                )
                for mods in ((), (scene.mod,))
            ]
            _play(console, scene, [runtime.submit(request) for request in requests])
            console.print()


def _play(console: Console, scene: Scene, running_requests: Sequence[Iterable[Update]]) -> None:
    """Show the completions of requests that run together, as they grow."""
    traces = [TokenTrace() for _ in running_requests]
    with Live(_picture(scene, traces), console=console, auto_refresh=False) as live:
        for updates in zip_longest(*running_requests):
            for trace, update in zip(traces, updates, strict=True):
                if isinstance(update, TokensDelta):
                    trace.apply(update)
            live.update(_picture(scene, traces), refresh=True)


def _picture(scene: Scene, traces: Sequence[TokenTrace]) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    without, with_mod = (Panel(transcript(trace), height=8) for trace in traces)
    without.title, with_mod.title = "without", f"[green]{scene.mod}[/]"
    table.add_row(without, with_mod)
    return Group(Text.assemble((scene.question, "bold"), f"  {scene.shows}"), table)
