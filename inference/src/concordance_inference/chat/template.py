"""A model's own chat template: messages and tools in, the prompt's token ids out."""

from collections.abc import Sequence
from typing import Any

import msgspec
from concordance_shared import InvalidRequestError, Message, Tool
from jinja2 import TemplateError

from concordance_inference.chat.answers import AnswerMemory
from concordance_inference.generation import Completed
from concordance_inference.models.tokenizer import ModelTokenizer

#: Stands for the content of message i while it is found out where the template puts it: from a
#: part of Unicode that is set aside for private use.
_MARK = "\ue000{}\ue001"


class ChatTemplate:
    """Renders conversations by the template that came with the model.

    An answer that this model gave before is put into the next prompt as it was sampled, so that a
    prompt goes on where the last one, and its answer, ended.
    """

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        """Use the tokenizer's template."""
        self._tokenizer = tokenizer
        self._answers = AnswerMemory()
        source: Any = tokenizer.hf.chat_template
        self.knows_tools = isinstance(source, str) and "tools" in source

    def render(self, messages: Sequence[Message], tools: Sequence[Tool] = ()) -> list[int]:
        """The prompt that asks for the next message of the assistant.

        Tools are rendered where the template knows of them.

        Raises:
            InvalidRequestError: The model has no template, or its template refuses the messages.
        """
        plain = [_plain(message) for message in messages]
        text = self._applied(plain, tools)
        answers = [i for i, message in enumerate(plain) if _is_answer(message)]
        pieces = self._pieces(plain, tools, answers, text) if answers else None
        if pieces is None:
            return self._tokenizer.encode(text)
        return self._joined(pieces, [plain[i]["content"] for i in answers])

    def remember(self, prompt_ids: Sequence[int], completed: Completed) -> None:
        """Keep an answer as it was sampled, if its text is that of its tokens."""
        ends = self._tokenizer.eos_token_ids
        token_ids = completed.token_ids
        token_ids = token_ids[:-1] if token_ids and token_ids[-1] in ends else token_ids
        if completed.text and self._tokenizer.decode(token_ids) == completed.text:
            self._answers.remember(self._tokenizer.decode(prompt_ids), completed.text, token_ids)

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token stands for; the name of a special one."""
        try:
            return self._tokenizer.token_bytes(token_id)
        except ValueError:  # a vocabulary that is not made of bytes
            return self._tokenizer.decode([token_id]).encode()

    def _applied(self, messages: list[dict[str, Any]], tools: Sequence[Tool]) -> str:
        hf = self._tokenizer.hf
        if hf.chat_template is None and not getattr(hf, "has_chat_template", False):
            raise InvalidRequestError(
                "this model has no chat template, so it cannot be asked by messages",
                param="messages",
            )
        try:
            return hf.apply_chat_template(
                messages,
                tools=[msgspec.to_builtins(tool) for tool in tools] or None,
                add_generation_prompt=True,
                tokenize=False,
            )
        except (TemplateError, TypeError, ValueError, KeyError) as exc:
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {exc}", param="messages"
            ) from exc

    def _pieces(
        self,
        messages: list[dict[str, Any]],
        tools: Sequence[Tool],
        answers: Sequence[int],
        text: str,
    ) -> list[str] | None:
        """What the template writes around the answers; `None` if it does not leave them whole.

        Found out by rendering marks in their places; a template may cut, strip or drop an answer.
        """
        marked = [
            {**message, "content": _MARK.format(i)} if i in answers else message
            for i, message in enumerate(messages)
        ]
        try:
            rest = self._applied(marked, tools)
        except InvalidRequestError:
            return None  # it looks into the answers
        pieces: list[str] = []
        for i in answers:
            piece, mark, rest = rest.partition(_MARK.format(i))
            if not mark:
                return None
            pieces.append(piece)
        pieces.append(rest)
        contents = [messages[i]["content"] for i in answers]
        whole = "".join(a + b for a, b in zip(pieces, [*contents, ""], strict=True))
        return pieces if whole == text else None

    def _joined(self, pieces: Sequence[str], answers: Sequence[str]) -> list[int]:
        """The token ids of pieces with answers between them, these as they were sampled."""
        token_ids: list[int] = []
        text = waiting = ""  # so far, and what of it is not tokenized yet
        for piece, answer in zip(pieces, [*answers, ""], strict=True):
            text, waiting = text + piece, waiting + piece
            sampled = self._answers.recall(text, answer)
            if sampled is None:
                waiting += answer
            else:
                token_ids += [*self._tokenizer.encode(waiting), *sampled]
                waiting = ""
            text += answer
        return [*token_ids, *self._tokenizer.encode(waiting)]


def _is_answer(message: dict[str, Any]) -> bool:
    return message["role"] == "assistant" and bool(message["content"])


def _plain(message: Message) -> dict[str, Any]:
    """A message as templates expect it: plain dictionaries, the content one string."""
    fields: dict[str, Any] = msgspec.to_builtins(message)
    fields["content"] = message.text
    if message.role == "developer":
        fields["role"] = "system"
    for call in fields.get("tool_calls", ()):
        call["function"]["arguments"] = _arguments(call["function"]["arguments"])
    return fields


def _arguments(text: str) -> Any:
    """A tool call's arguments as the object that most templates render, or as they were."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
