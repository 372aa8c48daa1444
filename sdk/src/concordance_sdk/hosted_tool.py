"""Tools of the operator, which the server runs itself while a model answers.

gpt-oss was trained with two: `python`, which gets code, and `browser`, which gets JSON for its
functions `search`, `open` and `find`.
"""

from typing import ClassVar, Literal

from msgspec import Struct


class HostedCall(Struct, frozen=True, kw_only=True):
    """A message of the model to a hosted tool.

    Attributes:
        text: The content: code, or JSON.
        function: The function of the tool, such as `search`; empty for a tool without functions.
        request_id: The request, to keep one session for each.

    Examples:
        >>> HostedCall(text="6 * 7").function
        ''
    """

    text: str
    function: str = ""
    request_id: str = ""


class HostedTool:
    """A tool that the server runs: inherit, and override `run`.

    Register an instance or the class with an entry point in the group `concordance.tools`, or in a
    file that is given to `concordance serve --tools FILE`. The server calls `run` on a thread of
    its own, possibly for several requests at the same time.

    Attributes:
        name: The tool's name, by which the model addresses it.
        functions: Its functions; none for a tool that gets text of its own kind, as `python` does.
        instructions: The section about it in the system message; `None` for the text that gpt-oss
            was trained with, which only `python` and `browser` have.
        content: What the model sends: `code`, or `json`.

    Examples:
        >>> class Clock(HostedTool):
        ...     name = "clock"
        ...     instructions = "Tells the time of a city, which is the text of the message."
        ...     content = "code"
        ...     def run(self, call):
        ...         return f"It is 12:00 in {call.text}."
        >>> Clock().run(HostedCall(text="Paris"))
        'It is 12:00 in Paris.'
    """

    name: ClassVar[str] = ""
    functions: ClassVar[tuple[str, ...]] = ()
    instructions: ClassVar[str | None] = None
    content: ClassVar[Literal["code", "json"]] = "code"

    def run(self, call: HostedCall) -> str:
        """Return the result of a call, which the model reads.

        Args:
            call: What the model sent.

        Raises:
            Exception: Anything: the model reads its message, and may try again.
        """
        raise NotImplementedError
