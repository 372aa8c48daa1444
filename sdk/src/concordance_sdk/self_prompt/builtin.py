"""A self-prompt as a mod of its own."""

from collections.abc import Mapping
from typing import Any

from concordance_shared import Action, Added, Event, ForwardPass, Prefilled

from concordance_sdk.action_builder import Actions
from concordance_sdk.constraints import Constraint
from concordance_sdk.mod import mod
from concordance_sdk.self_prompt.erase import EraseMode
from concordance_sdk.self_prompt.parts import Prompt
from concordance_sdk.self_prompt.self_prompt import SelfPrompt
from concordance_sdk.tokenizer import Tokenizer


def self_prompt_mod(
    *,
    prompt: Prompt | None = None,
    strategy: Constraint,
    completion: str | Mapping[str, Any] | None = None,
    erase: EraseMode | str = EraseMode.NONE,
    argmax_sampling: bool = False,
    mask_value: float | None = None,
    name: str = "self_prompt",
) -> Any:
    """Make a mod that asks a self-prompt where the completion begins.

    Its arguments are those of `SelfPrompt`. In a stream, one that erases holds all back until the
    request ends.

    Args:
        prompt: What is put there.
        strategy: What the answer may be.
        completion: Text that is written behind the answer.
        erase: What is taken back once there is an answer.
        argmax_sampling: Take the likeliest of the allowed tokens.
        mask_value: Not needed.
        name: What requests call the mod.

    Raises:
        ConstraintError: The prompt, the completion or the strategy is none.
        ModDefinitionError: The name is none that a request could say.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> mood = self_prompt_mod(
        ...     prompt="Mood: ", strategy=ChoicesStrat(["good", "bad"]), completion=". "
        ... )
        >>> play(mood, script=" " * 6 + "b" + " " * 4 + "Well.").text
        'Mood: bad. Well.'
    """
    self_prompt = SelfPrompt(
        prompt=prompt,
        strategy=strategy,
        completion=completion,
        erase=erase,
        argmax_sampling=argmax_sampling,
        mask_value=mask_value,
    )
    is_erased = EraseMode(erase) is not EraseMode.NONE

    @mod(name=name, on=[Prefilled, ForwardPass, Added], max_backtrack=None if is_erased else 1)
    def handler(event: Event, actions: Actions, tokenizer: Tokenizer) -> Action | None:
        """Asks a self-prompt where the completion begins."""
        return self_prompt.handle_event(event, actions, tokenizer)

    return handler
