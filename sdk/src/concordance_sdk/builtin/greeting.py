"""A greeting at the start of the completion."""

from concordance_sdk.builtin.inject import InjectAtStart
from concordance_sdk.builtin.parameters import Text
from concordance_sdk.mod import mod


@mod(max_backtrack=0, logits="none", registered=False)
class Greeting(InjectAtStart):
    """Starts the completion with a greeting: `InjectAtStart` with a text to try mods with.

    Attributes:
        text (str, at most 8192 characters, default "Ahoy!"): The greeting.

    Examples:
        >>> from concordance_sdk.testing import play
        >>> play(Greeting, says=" I am a model.").text
        'Ahoy! I am a model.'
    """

    text: Text = "Ahoy!"
