"""What a request gives a chat template: messages and variables."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from concordance_shared import InvalidRequestError

#: Fields of messages, calls and tools that a request can only set to known values.
_KNOWN = frozenset({"role", "type"})


@dataclass(frozen=True, kw_only=True)
class Given:
    """Messages and variables.

    Attributes:
        messages: The messages, as the template expects them.
        variables: The other variables.
        end_mark: Follows the content of the last message, if the prompt ends there.
    """

    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    variables: dict[str, Any]
    end_mark: str = ""

    @property
    def rendered_messages(self) -> list[dict[str, Any]]:
        """The messages that are rendered: the mark follows the last one."""
        if not self.end_mark:
            return self.messages
        *before, last = self.messages
        return [*before, {**last, "content": last["content"] + self.end_mark}]

    def cut(self, text: str) -> str:
        """A rendered text up to the mark.

        Raises:
            InvalidRequestError: The template does not write the last message as it is.
        """
        if not self.end_mark:
            return text
        end = text.rfind(self.end_mark)
        content = self.messages[-1]["content"]
        if end < 0 or not text[:end].endswith((content, content.lstrip())):
            raise InvalidRequestError(
                "continue_final_message: the model's chat template changes or drops the last "
                "message, so it cannot be continued",
                param="continue_final_message",
            )
        return text[:end]

    def texts(self) -> Iterator[str]:
        """The texts that the request can choose freely."""
        yield from _texts(self.messages)
        yield from _texts(self.variables)

    def mapped(self, change: Callable[[str], str], change_key: Callable[[str], str]) -> Self:
        """Change each text, and each key of an object."""
        return replace(
            self,
            messages=_mapped(self.messages, change, change_key),
            variables=_mapped(self.variables, change, change_key),
        )


def _texts(value: Any, name: str = "") -> Iterator[str]:
    """The texts in a value, without those that are known."""
    if isinstance(value, str):
        if name not in _KNOWN or not value.isalnum():
            yield value
    elif isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield key
            yield from _texts(item, key)
    elif isinstance(value, list | tuple):
        for item in cast(list[Any], value):
            yield from _texts(item)


def _mapped(
    value: Any, change: Callable[[str], str], change_key: Callable[[str], str], name: str = ""
) -> Any:
    if isinstance(value, str):
        return value if name in _KNOWN and value.isalnum() else change(value)
    if isinstance(value, dict):
        items = cast(dict[str, Any], value).items()
        return {change_key(key): _mapped(item, change, change_key, key) for key, item in items}
    if isinstance(value, list | tuple):
        return [_mapped(item, change, change_key) for item in cast(list[Any], value)]
    return value
