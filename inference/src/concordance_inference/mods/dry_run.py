"""Plays a mod on a scripted model: a dry run, without the engine."""

from collections.abc import Mapping
from typing import Annotated, Any

from concordance_sdk.composition import ModUse
from concordance_sdk.request_context import RequestContext
from concordance_sdk.testing import Played, play
from concordance_sdk.testing.playing import Playing, Scene
from concordance_shared import ConcordanceError, InvalidRequestError, ModError, ModTimeoutError
from msgspec import Meta, Struct

from concordance_inference.generation import ModCall
from concordance_inference.sandbox.isolated_mod import IsolatedMod, isolated
from concordance_inference.sandbox.requests import LeaseRequest
from concordance_inference.sandbox.sandboxed_mod import SandboxedMod
from concordance_inference.time_limit import TimeLimitError, run_within

#: Time limit of a dry run, in seconds.
DRY_RUN_S = 5.0

#: The most events of a dry run that are returned, in lines.
_MAX_LINES = 2000

_Text = Annotated[str, Meta(max_length=16384)]


class DryRun(Struct, kw_only=True):
    """What a mod is played on. The model's tokens are bytes.

    Attributes:
        says: The model's own text: it continues where it was interrupted.
        script: The model's tokens by position, whatever mods put before them.
        prompt: The prompt.
        params: The mod's parameters.
        max_tokens: The most tokens of the completion.
        stream: Refuse to backtrack over text that a stream would have shown.
    """

    says: _Text | None = None
    script: _Text | None = None
    prompt: _Text = ""
    params: dict[str, Any] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=2048)] = 256
    stream: bool = False


class DryRunFailure(Struct, frozen=True, kw_only=True):
    """A dry run in which the mod failed.

    Attributes:
        error: The error.
        log: The events and actions before it.
    """

    error: ConcordanceError
    log: tuple[str, ...]


def played_on(call: ModCall, run: DryRun) -> Played | DryRunFailure:
    """Play a mod.

    Raises:
        InvalidRequestError: There is neither a script nor a text, or both.
    """
    if (run.says is None) == (run.script is None):
        raise InvalidRequestError("give either `says` or `script`", param="says")
    try:
        return run_within(DRY_RUN_S, lambda: _played(call, run))
    except TimeLimitError as exc:
        error = ModTimeoutError(
            f"mod {call.name!r}: the dry run took too long: {exc}", mod=call.name
        )
        return DryRunFailure(error=error, log=())
    except ModError as exc:
        return DryRunFailure(error=exc, log=_log_of(exc))


def _played(call: ModCall, run: DryRun) -> Played:
    definition = call.definition
    if isinstance(definition, SandboxedMod):
        return _played_in_worker(call, definition, run)
    return play(
        ModUse(definition, call.parameters),
        says=run.says,
        script=run.script,
        prompt=run.prompt,
        max_tokens=run.max_tokens,
        stream=run.stream,
    )


def _played_in_worker(call: ModCall, mod: SandboxedMod, run: DryRun) -> Played:
    request = LeaseRequest(source=mod.source, parameters=call.parameters, param=call.where)
    made: list[IsolatedMod] = []

    def make(context: RequestContext) -> IsolatedMod:
        made.append(isolated(mod, request, context))
        return made[0]

    scene = Scene(
        script=run.script or run.says or "",
        resumes=run.says is not None,
        prompt=run.prompt,
        max_tokens=run.max_tokens,
        is_streamed=run.stream,
    )
    try:
        playing = Playing([make], scene)
        while not playing.is_over:
            playing.step()
        return playing.finish()
    finally:
        for each in made:
            each.close()


def _log_of(exc: ModError) -> tuple[str, ...]:
    """The lines of the log that `play` adds to an error, without their numbers."""
    notes = "\n".join(getattr(exc, "__notes__", ()))
    _, _, log = notes.partition("what was played:\n")
    return tuple(line.strip().partition(" ")[2] for line in log.splitlines()[:_MAX_LINES])


def description_of_run(outcome: Played | DryRunFailure) -> Mapping[str, Any]:
    """Describe a dry run for clients, but for the body of its error."""
    if isinstance(outcome, DryRunFailure):
        return {"object": "mod.dry_run", "log": outcome.log}
    return {
        "object": "mod.dry_run",
        "text": outcome.text,
        "finish_reason": outcome.finish_reason,
        "log": outcome.log[:_MAX_LINES],
        "changes": [
            {
                "kept": change.kept,
                "added": bytes(token for token in change.added if token < 256).decode(
                    errors="replace"
                ),
                "forced": change.forced,
                "mod": change.mod,
            }
            for change in outcome.changes[:_MAX_LINES]
        ],
        "reports": outcome.reports,
        "tool_calls": outcome.tool_calls,
        "forced_tokens": outcome.num_forced,
        "backtracked_tokens": outcome.num_backtracked,
        "passes": outcome.passes,
        "error": None,
    }
