"""What is shown of a reply: parts up to a limit, and the end of a resumed reply once more."""

from concordance_inference.chat.message_parts import (
    CallCut,
    ContentText,
    MessagePart,
    ReadMessage,
    ReasoningText,
    joined,
)
from concordance_inference.chat.resumed_reader import ShownTail
from concordance_inference.chat.truncated_reader import Shortened
from concordance_inference.cli.chat.conversation_file import ReplyEntry
from concordance_inference.cli.chat.reply import Restated
from concordance_inference.cli.chat.reply_view import ReplyView
from concordance_inference.cli.options import Chat
from concordance_inference.generation import ReportsDelta


class ShownParts:
    """Shows the updates of a reply in a view. The conversation has all of them, uncut."""

    def __init__(self, view: ReplyView, options: Chat) -> None:
        """Show nothing yet.

        Args:
            view: Shows parts.
            options: Has the limits, in characters.
        """
        self._view = view
        self._reasoning = Shortened(options.truncate_thinking)
        self._content = Shortened(options.truncate_response)
        self._resumed: ReplyEntry | None = None  # until the first update after a resumption
        self._repeats = False
        self._tails = ShownTail(""), ShownTail("")  # of reasoning and content

    def resume(self, before: ReplyEntry, *, repeats: bool) -> None:
        """Continue a reply.

        Args:
            before: The reply so far.
            repeats: Its end is not in the view, and is shown again.
        """
        self._resumed, self._repeats = before, repeats

    def add(self, update: object) -> None:
        """Show an update, if there is something to show."""
        if self._resumed is not None:
            self._begin_again(self._resumed, update)
            self._resumed = None
        if isinstance(update, ReportsDelta):
            self._view.add_reports(update.reports)
        elif isinstance(update, MessagePart):
            self._show(update)

    def _begin_again(self, before: ReplyEntry, update: object) -> None:
        read = ReadMessage(reasoning=before.reasoning, content=before.content)
        if isinstance(update, Restated):
            read = joined(update.parts)
        if self._repeats:
            self._view.repeat(
                self._reasoning.shown(read.reasoning), self._content.shown(read.content)
            )
        else:  # the view has text that was held back when the reply was cut
            self._tails = (
                ShownTail(before.reasoning.removeprefix(read.reasoning)),
                ShownTail(before.content.removeprefix(read.content)),
            )

    def _show(self, part: MessagePart) -> None:
        reasoning, content = self._tails
        match part:
            case ReasoningText():
                if text := self._reasoning.shown(reasoning.new(part.text)):
                    self._view.add(ReasoningText(text))
            case ContentText():
                if text := self._content.shown(content.new(part.text)):
                    self._view.add(ContentText(text))
            case CallCut():
                self._view.add(CallCut(part.index, content.new(part.text)))
            case _:
                self._view.add(part)
