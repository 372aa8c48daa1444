"""A conversation in memory: its entries, as its file has them, and the messages for the model."""

from collections.abc import Sequence
from pathlib import Path

from concordance_shared import Message
from msgspec.structs import replace

from concordance_inference.cli.chat.conversation_file import (
    INTERRUPTED,
    Entry,
    ReplyEntry,
    SavedConversation,
    SettingsEntry,
    UserEntry,
    now,
    read,
    write,
)
from concordance_inference.loop_detection import LOOP

#: Ends of a reply after which it can be resumed.
CUT = ("length", LOOP, INTERRUPTED)


class Conversation:
    """The messages so far. `path` is the file in which it is saved, if it is."""

    def __init__(self, system: str | None = None) -> None:
        """Begin a conversation with a system message, if there is one."""
        self.system = system
        self.entries: list[Entry] = []
        self.path: Path | None = None
        self._created = now()

    @classmethod
    def load(cls, path: Path) -> "Conversation":
        """Read a conversation from its file.

        Raises:
            ConversationFileError: It cannot be read.
        """
        saved = read(path)
        loaded = cls()
        loaded.entries = list(saved.entries)
        loaded.path, loaded._created = path, saved.created
        settings = loaded.settings
        loaded.system = settings.system if settings else None
        return loaded

    def save(self) -> None:
        """Write the conversation to `path`.

        Raises:
            ConversationFileError: It cannot be written.
        """
        assert self.path is not None, "it has a file"
        saved = SavedConversation(created=self._created, updated=now(), entries=self.entries)
        write(self.path, saved)

    @property
    def messages(self) -> list[Message]:
        """The messages, for a prompt."""
        first = [Message(role="system", content=self.system)] if self.system else []
        return [*first, *(message for each in self.entries if (message := _message(each)))]

    @property
    def settings(self) -> SettingsEntry | None:
        """The settings that were recorded last."""
        return next((e for e in reversed(self.entries) if isinstance(e, SettingsEntry)), None)

    @property
    def reply(self) -> ReplyEntry | None:
        """The reply, if it is the last entry."""
        last = self.entries[-1] if self.entries else None
        return last if isinstance(last, ReplyEntry) else None

    @property
    def is_cut(self) -> bool:
        """True if the last entry is a reply that can be resumed."""
        return self.reply is not None and self.reply.finish in CUT

    @property
    def num_messages(self) -> int:
        """The number of messages of the user and the model."""
        return sum(not isinstance(each, SettingsEntry) for each in self.entries)

    def add_user(self, text: str, settings: SettingsEntry) -> None:
        """Add a message of the user, after the settings if they differ from the recorded ones."""
        self.record(settings)
        self.entries.append(UserEntry(content=text, at=now()))

    def record(self, settings: SettingsEntry) -> None:
        """Add the settings, if they differ from the recorded ones: before a reply that follows."""
        recorded = self.settings
        if recorded is None or replace(recorded, at=None) != replace(settings, at=None):
            place = len(self.entries) - (self.reply is not None and self.is_cut)
            self.entries.insert(place, replace(settings, at=now()))

    def add_reply(self, reply: ReplyEntry) -> None:
        """Add a reply, or replace the last one, which it resumes."""
        if self.reply is not None:
            self.entries.pop()
        self.entries.append(replace(reply, at=now()))

    def undo(self) -> str | None:
        """Remove the last message of the user and what follows it; return its text."""
        for i in reversed(range(len(self.entries))):
            entry = self.entries[i]
            if isinstance(entry, UserEntry):
                del self.entries[i:]
                return entry.content
        return None


def first_words(entries: Sequence[Entry], length: int = 60) -> str:
    """Return the beginning of the first message of the user, in one line."""
    texts = (each.content for each in entries if isinstance(each, UserEntry))
    text = " ".join(next(texts, "").split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _message(entry: Entry) -> Message | None:
    match entry:
        case UserEntry():
            return Message(role="user", content=entry.content)
        case ReplyEntry():
            return Message(
                role="assistant",
                content=entry.content,
                reasoning_content=entry.reasoning or None,
                tool_calls=entry.tool_calls or None,
            )
        case SettingsEntry():
            return None
