"""A model for the chat that says what a test gives it, without an engine."""

import signal
import time

from concordance_inference.chat.message_parts import ContentText, ReasoningText
from concordance_inference.cli.chat.reply import ModLine, ReplyEnd, Restated
from concordance_inference.generation import Started
from concordance_shared import InvalidRequestError

CTRL_C = object()  # in a script: the user presses Ctrl-C


class ScriptedReply:
    """A reply of pieces: text, parts, pauses in seconds, errors, and `CTRL_C`."""

    def __init__(self, pieces, *, finish="stop", before=()):
        self.pieces = list(pieces)
        self.finish = finish
        self.before = list(before)
        self.parts = []

    def __iter__(self):
        if self.before:
            yield Restated(self.before)
        yield Started(prompt_tokens=7)
        for piece in self.pieces:
            if piece is CTRL_C:
                signal.raise_signal(signal.SIGINT)
            elif isinstance(piece, float):
                time.sleep(piece)
            elif isinstance(piece, Exception):
                raise piece
            else:
                part = ContentText(piece) if isinstance(piece, str) else piece
                self.parts.append(part)
                yield part
        yield self._end(self.finish)

    def _end(self, finish):
        count = len(self.parts)
        return ReplyEnd(finish=finish, prompt_tokens=7, completion_tokens=count)

    def stop(self):
        return [self._end("interrupted")]

    @property
    def cut(self):
        return [*self.before, *self.parts]


class ScriptedModel:
    """Replies with the next of its replies; records what it got."""

    source = "scripted/source"

    def __init__(self, *replies):
        self.id = "scripted"
        self.replies = list(replies)
        self.asked = []  # the messages of each request, as (role, text)
        self.options = []
        self.resumed = []  # the cuts that were resumed

    def reply(self, messages, options):
        self.asked.append([(message.role, message.text) for message in messages])
        self.options.append(options)
        made = self.replies.pop(0) if self.replies else "ok"
        return made if isinstance(made, ScriptedReply) else ScriptedReply([made])

    def resume(self, messages, options, cut):
        self.resumed.append(cut)
        reply = self.reply(messages, options)
        reply.before = cut or []
        return reply

    def switch(self, name):
        if name not in self.model_names():
            raise InvalidRequestError(f"no model {name}")
        self.id = name

    def check_mods(self, options):
        for mod in options.mod:
            if mod.partition(":")[0] not in {line.name for line in self.mods()}:
                raise InvalidRequestError(f"there is no mod {mod!r}")

    def model_names(self):
        return ["scripted", "another"]

    def mods(self):
        return [
            ModLine(name="avoid", description="Avoid words"),
            ModLine(name="replace", description=""),
        ]


def cut(*pieces, finish="length"):
    """A reply that ends before it is complete."""
    return ScriptedReply(pieces, finish=finish)


def thinks(reasoning, *pieces):
    """A reply with a reasoning."""
    return ScriptedReply([ReasoningText(reasoning), *pieces])
