"""`LLM.branch`: completions that begin from a token of another one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, overload

from concordance_shared import InvalidRequestError
from msgspec import ValidationError, convert

from concordance_inference.branching.branch import BranchPoint
from concordance_inference.branching.errors import unknown_completion
from concordance_inference.completion import Completion
from concordance_inference.completion_stream import CompletionStream
from concordance_inference.generation import GenerationRequest, ModCall
from concordance_inference.llm_options import resolve_mods
from concordance_inference.llm_resume import ResumeOptions, changes_of
from concordance_inference.mods.catalog import ModCatalog

if TYPE_CHECKING:
    from concordance_inference.runtime import Runtime


class Branching:
    """The methods of an `LLM` that begin from a token of a completion."""

    _catalog: ModCatalog

    def _running(self) -> "Runtime":
        raise NotImplementedError

    @overload
    def branch(
        self,
        completion: Completion | str,
        position: int,
        *,
        token_ids: Sequence[int] | None = None,
        text: str | None = None,
        stream: Literal[False] = False,
        **options: Unpack[ResumeOptions],
    ) -> Completion: ...
    @overload
    def branch(
        self,
        completion: Completion | str,
        position: int,
        *,
        token_ids: Sequence[int] | None = None,
        text: str | None = None,
        stream: Literal[True],
        **options: Unpack[ResumeOptions],
    ) -> CompletionStream: ...
    def branch(
        self,
        completion: Completion | str,
        position: int,
        *,
        token_ids: Sequence[int] | None = None,
        text: str | None = None,
        stream: bool = False,
        **options: Unpack[ResumeOptions],
    ) -> Completion | CompletionStream:
        """Generate another completion from a token of one that runs, or has ended, on.

        Args:
            completion: The completion, or its id.
            position: Index into its `token_ids`, of which those before are kept.
            token_ids: The tokens to put there. Without them and `text`, the model chooses again.
            text: A text to put there instead.
            stream: Return an iterator over its text instead.
            options: See `ResumeOptions`. `max_tokens` counts the whole completion, and is that of
                the other one if it is left out.

        Returns:
            The whole completion.

        Raises:
            UnknownCompletionError: It ended more than `EngineConfig.resume_s` seconds ago.
            InvalidRequestError: The branch is out of range, or an option is not valid.
            ConcordanceError: As `generate`.
        """
        given: dict[str, object] = {**options}
        mods = resolve_mods(given.pop("mods"), self._catalog) if "mods" in given else None
        runtime, point = self._running(), _point(completion, position, token_ids, text)
        streamed = CompletionStream(self, runtime, _branched(runtime, point, given, mods))
        return streamed if stream else streamed.result()

    def conversation(self, completion: Completion | str) -> dict[str, Any]:
        """Return a completion as a conversation, to continue or to store.

        Args:
            completion: The completion, or its id.

        Returns:
            `messages`, and the `tools` if there were some, as `chat` takes them; of a completion of
            `generate`, the token ids of its `prompt` and of itself.

        Raises:
            UnknownCompletionError: It ended more than `EngineConfig.resume_s` seconds ago.
        """
        from concordance_inference.branching.conversation import conversation_of  # noqa: PLC0415

        completion_id = completion if isinstance(completion, str) else completion.id
        if (written := self._running().written(completion_id)) is None:
            raise unknown_completion(completion_id)
        return conversation_of(written)


def _point(
    completion: Completion | str,
    position: int,
    token_ids: Sequence[int] | None,
    text: str | None,
) -> BranchPoint:
    fields = {
        "id": completion if isinstance(completion, str) else completion.id,
        "position": position,
        "token_ids": None if token_ids is None else [*token_ids],
        "text": text,
    }
    try:
        return convert(fields, BranchPoint)
    except ValidationError as exc:
        raise InvalidRequestError(f"LLM.branch: {exc}", param="branch_from") from exc


def _branched(
    runtime: "Runtime",
    point: BranchPoint,
    given: Mapping[str, object],
    mods: tuple[ModCall, ...] | None,
) -> GenerationRequest:
    changes = changes_of(runtime, given, mods, "LLM.branch")
    if "max_tokens" not in given:
        del changes["max_tokens"]
    return runtime.prepare(runtime.branch(point, changes))
