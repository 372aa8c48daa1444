"""A self-prompt as a mod of its own."""

from typing import Any

from concordance_sdk.constraints import Constraint
from concordance_sdk.mod import mod
from concordance_sdk.self_prompt.edit import EraseMode
from concordance_sdk.self_prompt.self_prompt import Prompt, SelfPrompt


def self_prompt_mod(
    *,
    prompt: Prompt | None = None,
    constraint: Constraint,
    suffix: str | None = None,
    erase: EraseMode | str = EraseMode.NONE,
    argmax_sampling: bool = False,
    name: str = "self_prompt",
) -> Any:
    """Make a mod that asks a self-prompt at the start of the completion.

    Its arguments are those of `SelfPrompt`. A stream holds everything back until the request ends
    if the self-prompt erases.

    Args:
        prompt: The text or token ids to insert.
        constraint: The texts that the answer may be.
        suffix: Text to write after the answer.
        erase: What to remove once there is an answer.
        argmax_sampling: Take the top allowed token.
        name: The name that requests use.

    Raises:
        ConstraintError: The prompt, the suffix or the constraint is of a wrong type.
        ModDefinitionError: The name is not one that requests can use.

    Examples:
        >>> from concordance_sdk.constraints import ChoicesStrat
        >>> from concordance_sdk.testing import play
        >>> mood = self_prompt_mod(
        ...     prompt="Mood: ", constraint=ChoicesStrat(["good", "bad"]), suffix="."
        ... )
        >>> play(mood, script=" " * 6 + "b" + " " * 4 + "Well.").text
        'Mood: bad. Well.'
    """
    self_prompt = SelfPrompt(
        prompt=prompt,
        constraint=constraint,
        suffix=suffix,
        erase=erase,
        argmax_sampling=argmax_sampling,
    )

    @mod(name=name, max_backtrack=0)
    class Mod:
        """Asks a self-prompt at the start of the completion."""

        def parts(self) -> list[SelfPrompt]:
            return [self_prompt]

    return Mod
