"""`concordance demo`: four small mods, with and without, side by side."""

import queue
from collections.abc import Callable, Sequence

from msgspec import Struct
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from concordance_inference.cli.generate import conversation
from concordance_inference.cli.start import parse_mod, running
from concordance_inference.cli.transcript import Transcript
from concordance_inference.generation import (
    Completed,
    Failed,
    GenerationRequest,
    SamplingParams,
    TokensDelta,
    Update,
)
from concordance_inference.models.options import ModelOptions

Submit = Callable[[GenerationRequest, Callable[[Update], None]], None]


class Scene(Struct, frozen=True):
    """A question and the mod that steers its answer."""

    mod: str
    shows: str
    question: str


SCENES = (
    Scene("greeting", "forces tokens at the start", "What is the capital of France?"),
    Scene(
        "replace:find=Paris,replacement=Lyon",
        "takes a phrase back and puts another there",
        "What is the capital of France?",
    ),
    Scene(
        "avoid:words=blue",
        "takes a word back and bans it there",
        "Name three colors of the rainbow.",
    ),
    Scene("stop_after_sentences:count=1", "ends after one sentence", "Tell me about the moon."),
)


def run(model: str | None, *, options: ModelOptions, max_tokens: int) -> None:
    """Play the scenes, each twice at the same time: without its mod and with it."""
    console = Console(highlight=False)
    with running(model, options=options) as (runtime, _):
        console.print(
            Text.assemble(
                "sampled, ", ("forced", "bold green"), ", ", ("taken back", "red strike"), "\n"
            )
        )
        for scene in SCENES:
            requests = [
                runtime.request(
                    conversation(scene.question, None),
                    mods=runtime.mods.resolve([parse_mod(mod) for mod in mods], strict=False),
                    max_tokens=max_tokens,
                    sampling=SamplingParams(temperature=0.0),
                    show_tokens=True,
                )
                for mods in ((), (scene.mod,))
            ]
            _play(console, scene, requests, runtime.engine.submit)
            console.print()


def _play(
    console: Console, scene: Scene, requests: Sequence[GenerationRequest], submit: Submit
) -> None:
    """Run the requests together and show both completions as they grow."""
    updates: queue.SimpleQueue[tuple[int, Update]] = queue.SimpleQueue()
    transcripts = [Transcript() for _ in requests]
    for i, request in enumerate(requests):
        submit(request, lambda update, i=i: updates.put((i, update)))
    running_requests = len(requests)
    with Live(_picture(scene, transcripts), console=console, auto_refresh=False) as live:
        while running_requests:
            i, update = updates.get()
            if isinstance(update, TokensDelta):
                transcripts[i].apply(update)
                live.update(_picture(scene, transcripts), refresh=True)
            elif isinstance(update, Failed):
                raise update.error
            elif isinstance(update, Completed):
                running_requests -= 1


def _picture(scene: Scene, transcripts: Sequence[Transcript]) -> RenderableType:
    table = Table.grid(expand=True, padding=(0, 1))
    table.add_column(ratio=1)
    table.add_column(ratio=1)
    without, steered = (Panel(t.text(), height=8) for t in transcripts)
    without.title, steered.title = "without", f"[green]{scene.mod}[/]"
    table.add_row(without, steered)
    return Group(Text.assemble((scene.question, "bold"), f"  {scene.shows}"), table)
