"""Files of conversations: JSON with a version, written whole or not at all."""

import os
import re
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
from concordance_shared import ConcordanceError, ToolCall
from concordance_shared.suggestions import did_you_mean, similar_names
from msgspec import Struct

SCHEMA = "concordance.conversation"

#: Raised by one when a reader of the version before would misread the file.
VERSION = 1

#: Why a reply ended: the finish reason of the completion, or Ctrl-C.
Finish = str
INTERRUPTED: Finish = "interrupted"

_NAME = re.compile(r"\w[\w .@+-]{0,99}")


class ConversationFileError(ConcordanceError):
    """A file of a conversation cannot be read or written; the message says which and why."""


class ReplyStats(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a reply was generated."""

    first_token_s: float | None = None  # from the request to the first token
    tokens_per_s: float | None = None  # after it
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt
    truncated_messages: int = 0  # the oldest ones, which did not fit into the prompt
    completion_tokens: int = 0


class SettingsEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="settings"):
    """How the following replies were generated, recorded when it changes."""

    model: str
    source: str | None = None  # the value of --model
    mods: tuple[str, ...] = ()  # as in --mod
    system: str | None = None
    hyperparameters: dict[str, Any] = {}
    at: datetime | None = None


class UserEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="user"):
    """A message of the user."""

    content: str
    at: datetime | None = None


class ReplyEntry(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="assistant"):
    """A reply of the model."""

    content: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    resumed: int = 0  # how often it was resumed after a cut
    stats: ReplyStats = ReplyStats()
    at: datetime | None = None


Entry = SettingsEntry | UserEntry | ReplyEntry


class SavedConversation(Struct, frozen=True, kw_only=True):
    """The content of a file."""

    schema: Literal["concordance.conversation"] = SCHEMA
    version: int = VERSION
    created: datetime
    updated: datetime
    entries: list[Entry] = []


class _Header(Struct):
    schema: str = ""
    version: int = 0


def data_folder() -> Path:
    """Return the user's folder of data.

    Raises:
        ConversationFileError: There is no home folder.
    """
    try:
        if sys.platform == "darwin":
            return Path("~/Library/Application Support/concordance").expanduser()
        data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return Path(data).expanduser() / "concordance"
    except RuntimeError as exc:
        raise ConversationFileError(
            "there is no home folder for conversations; name a folder with --conversations"
        ) from exc


def default_folder() -> Path:
    """Return the folder of saved conversations, unless `--conversations` names one.

    Raises:
        ConversationFileError: There is no home folder.
    """
    return data_folder() / "conversations"


def now() -> datetime:
    """Return the time in UTC, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def path_of(folder: Path, name: str) -> Path:
    """Return the file of a conversation.

    Args:
        folder: The folder of saved conversations.
        name: A name in this folder, or a path: with a slash, or the suffix `.json`.

    Raises:
        ConversationFileError: It is neither.
    """
    if "/" in name or name.endswith(".json"):
        return Path(name).expanduser()
    if not _NAME.fullmatch(name) or name.endswith((" ", ".")):
        raise ConversationFileError(
            f"{name!r} is not a name of a conversation: write letters, digits, spaces and "
            ". @ + - _, beginning with a letter or digit, or the path of a file"
        )
    return folder / f"{name}.json"


def write(path: Path, conversation: SavedConversation) -> None:
    """Write a file, so that it is the old one or the new one at every moment.

    Raises:
        ConversationFileError: It cannot be written.
    """
    made: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        made = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(conversation), indent=1) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)
    except OSError as exc:
        if made:
            with suppress(OSError):
                made.unlink(missing_ok=True)
        reason = exc.strerror or exc
        raise ConversationFileError(f"{path}: the conversation is not saved: {reason}") from exc


def read(path: Path) -> SavedConversation:
    """Read a file.

    Raises:
        ConversationFileError: It cannot be read, is no conversation, or has a newer version.
    """
    try:
        raw = path.read_bytes()
        header = msgspec.json.decode(raw, type=_Header)
    except FileNotFoundError as exc:
        hint = did_you_mean(similar_names(path.stem, names_in(path.parent)))
        hint = hint or "; `/list` shows the saved conversations"
        raise ConversationFileError(f"there is no conversation {path}{hint}") from exc
    except OSError as exc:
        raise ConversationFileError(f"{path} cannot be read: {exc.strerror or exc}") from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConversationFileError(f"{path} is not a saved conversation: {exc}") from exc
    if header.schema != SCHEMA:
        raise ConversationFileError(
            f"{path} is not a saved conversation: its `schema` is not {SCHEMA!r}"
        )
    if header.version > VERSION:
        raise ConversationFileError(
            f"{path} has version {header.version} of the format, and this program reads versions "
            f"up to {VERSION}; upgrade Concordance"
        )
    try:
        return msgspec.json.decode(raw, type=SavedConversation)
    except (msgspec.ValidationError, RecursionError) as exc:
        raise ConversationFileError(f"{path}: {exc}") from exc


def names_in(folder: Path) -> list[str]:
    """Return the names of the conversations in a folder, the last changed first."""
    try:
        files = [(path.stat().st_mtime, path.stem) for path in folder.glob("[!.]*.json")]
    except OSError:
        return []
    return [name for _, name in sorted(files, reverse=True)]
