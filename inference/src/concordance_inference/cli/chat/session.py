"""The state of the program, and what its commands do with it: send, resume, retry, load, save."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from concordance_shared import ConcordanceError, InvalidRequestError
from msgspec import structs

from concordance_inference.cli.chat.conversation import Conversation, first_words
from concordance_inference.cli.chat.conversation_file import (
    INTERRUPTED,
    ReplyEntry,
    SettingsEntry,
    default_folder,
    names_in,
    now,
    path_of,
)
from concordance_inference.cli.chat.keyboard import CtrlC, reply_keyboard
from concordance_inference.cli.chat.profiles import Profiles
from concordance_inference.cli.chat.reply import ChatModel, ReplyRecord, RunningReply
from concordance_inference.cli.chat.reply_view import ReplyView
from concordance_inference.cli.chat.screen import Screen
from concordance_inference.cli.chat.settings import hyperparameters, with_recorded
from concordance_inference.cli.chat.shown_parts import ShownParts
from concordance_inference.cli.generate import check_text
from concordance_inference.cli.options import Chat
from concordance_inference.loop_detection import LOOP

#: Resumptions without a command, in a terminal, unless `--auto-resume` says.
AUTO_RESUME = 2


@dataclass
class Session:
    """A conversation with a model."""

    model: ChatModel
    options: Chat
    screen: Screen = field(default_factory=Screen)
    profiles: Profiles = field(default_factory=Profiles)
    conversation: Conversation = field(default_factory=Conversation)
    unanswered: str | None = None  # the last message of the user, if its reply failed
    is_over: bool = False
    _cut: object | None = None  # of the last reply

    @property
    def folder(self) -> Path:
        """The folder of saved conversations."""
        return self.options.conversations or default_folder()

    def begin(self, system: str | None = None) -> None:
        """Begin a conversation with the system message of the options, unless one is given.

        Raises:
            ConcordanceError: The prompt is unknown, or has an unknown placeholder.
        """
        options = self.options
        if system is None and options.system is not None:
            system = options.system
        elif system is None and options.prompt is not None:
            system = self.profiles.prompt(options.prompt).text(self.model.id, now().astimezone())
        check_text(system or "")
        self.conversation = Conversation(system)
        self.unanswered, self._cut = None, None

    def send(self, text: str) -> None:
        """Send a message of the user, and show the reply.

        Raises:
            ConcordanceError: The request fails; the message is kept for `/retry`.
        """
        check_text(text)
        conversation = self.conversation
        num_entries = len(conversation.entries)
        conversation.add_user(text, self._settings())
        self._cut, self.unanswered = None, text
        try:
            self._run()
        finally:
            if conversation.reply is None:
                del conversation.entries[num_entries:]
            else:
                self.unanswered = None

    def resume(self) -> None:
        """Resume the last reply, which was cut.

        Raises:
            ConcordanceError: There is none, or the request fails.
        """
        reply = self.conversation.reply
        if reply is None or not self.conversation.is_cut:
            raise InvalidRequestError(
                "/resume: the last reply was not cut, so there is nothing to resume; /retry "
                "generates it again"
            )
        self.conversation.record(self._settings())
        self._run(resumed=reply)

    def retry(self) -> None:
        """Generate the last reply again.

        Raises:
            ConcordanceError: There is none, or the request fails.
        """
        before = [*self.conversation.entries]
        text = self.unanswered or self.conversation.undo()
        if text is None:
            raise InvalidRequestError("/retry: no message was sent yet")
        try:
            self.send(text)
        finally:
            if self.unanswered is not None:
                self.conversation.entries = before

    def _run(self, resumed: ReplyEntry | None = None) -> None:
        """Generate a reply and show it; resume it as often as `auto_resume` allows."""
        record, view = ReplyRecord(), self.screen.view(self.options)
        shown = ShownParts(view, self.options)
        if resumed is not None:
            shown.resume(resumed, repeats=True)
        with reply_keyboard() as keyboard:
            try:
                self._generate(record, view, shown, keyboard, resumed)
                for _ in range(self._num_resumes):
                    if record.finish != "length":
                        break
                    shown.resume(record.entry, repeats=False)
                    self._generate(record, view, shown, keyboard, record.entry)
            finally:
                view.end()
            self._show_end(record.entry)
            if self.options.autosave or self.conversation.path:
                self.save()

    @property
    def _num_resumes(self) -> int:
        if self.options.auto_resume is not None:
            return self.options.auto_resume
        return AUTO_RESUME if self.screen.is_terminal else 0

    def _generate(
        self,
        record: ReplyRecord,
        view: ReplyView,
        shown: ShownParts,
        keyboard: CtrlC,
        resumed: ReplyEntry | None,
    ) -> None:
        """Generate a reply up to its end, its cut, or Ctrl-C, and keep it."""
        running = self._begun(record, resumed)
        view.prepare()
        try:
            for update in keyboard.interruptible(running):
                record.add(update)
                shown.add(update)
        except KeyboardInterrupt:
            for update in running.stop():
                record.add(update)
                shown.add(update)
        except ConcordanceError as exc:
            view.set_reports(exc.reports)
            raise
        self._cut = running.cut
        self.conversation.add_reply(record.entry)

    def _begun(self, record: ReplyRecord, resumed: ReplyEntry | None) -> RunningReply:
        """Begin a reply, or resume one."""
        messages = self.conversation.messages
        if resumed is None:
            return self.model.reply(messages, self.options)
        record.resumed(structs.replace(resumed, resumed=resumed.resumed + 1))
        if not (resumed.content or resumed.reasoning or resumed.stats.completion_tokens):
            return self.model.reply(messages[:-1], self.options)
        return self.model.resume(messages, self.options, self._cut)

    def _show_end(self, reply: ReplyEntry) -> None:
        """Show how fast the reply was, and why it ended."""
        notes: list[str] = []
        stats = reply.stats
        if self.options.stats and stats.first_token_s is not None:
            notes.append(f"{stats.first_token_s:.2f} s to the first token")
            if stats.tokens_per_s is not None:
                notes.append(f"{stats.tokens_per_s:.1f} tokens/s")
            if stats.completion_tokens:
                notes.append(f"{stats.completion_tokens} tokens")
        if stats.truncated_messages:
            notes.append(f"the oldest {stats.truncated_messages} messages no longer fit")
        if reply.finish == INTERRUPTED:
            notes.append("stopped; /resume continues")
        elif reply.finish == "length":
            notes.append("cut at max_tokens; /resume continues")
        elif reply.finish == LOOP:
            notes.append("ended in a loop; /set loop_action rewind, then /retry, continues without")
        if notes:
            self.screen.hint(" · ".join(notes))
        self.screen.hint("")

    def _settings(self) -> SettingsEntry:
        options = self.options
        return SettingsEntry(
            model=self.model.id,
            source=self.model.source,
            mods=tuple(options.mod),
            system=self.conversation.system,
            hyperparameters=hyperparameters(options),
        )

    def save(self, name: str | None = None) -> Path:
        """Save the conversation, from now on after every reply.

        Args:
            name: A name or a path. `None`: the same as before, or a new one with the date.

        Raises:
            ConversationFileError: It cannot be written.
        """
        conversation = self.conversation
        if name:
            conversation.path = path_of(self.folder, name)
        elif conversation.path is None:
            conversation.path = path_of(self.folder, self._new_name())
        conversation.save()
        return conversation.path

    def _new_name(self) -> str:
        """A name that no conversation has: the date and a number."""
        day = now().astimezone().strftime("%Y-%m-%d")
        taken = {*names_in(self.folder)}
        return next(name for i in range(1, 10**6) if (name := f"{day} {i}") not in taken)

    def load(self, name: str) -> None:
        """Continue a saved conversation, with its hyperparameters, system message and mods.

        Raises:
            ConcordanceError: It cannot be read, or its settings do not fit this version.
        """
        path = path_of(self.folder, name)
        loaded = Conversation.load(path)
        recorded = loaded.settings
        if recorded is not None:
            options = with_recorded(self.options, recorded.hyperparameters, str(path))
            options = replace(options, mod=list(recorded.mods))
            self.model.check_mods(options)
            self.options = options
        self.conversation = loaded
        self.unanswered, self._cut = None, None
        self._show_loaded(recorded)

    def _show_loaded(self, recorded: SettingsEntry | None) -> None:
        loaded = self.conversation
        words = first_words(loaded.entries)
        self.screen.hint(f"{loaded.path}: {loaded.num_messages} messages: {words}")
        if recorded and recorded.model != self.model.id:
            self.screen.hint(
                f"it was with {recorded.model}, and continues with {self.model.id}; /model changes "
                "that"
            )
        if reply := loaded.reply:
            view = self.screen.view(self.options)
            view.repeat(reply.reasoning, reply.content)
            view.end()

    def use_profile(self, name: str) -> None:
        """Use the values of a profile from the next reply on, but not its model.

        Raises:
            ConcordanceError: There is no such profile, or one of its mods cannot be used.
        """
        values = self.profiles.values(name)
        options = replace(self.options, **{**values, "model": self.options.model}, profile=name)
        self.model.check_mods(options)
        self.options = options

    def use_prompt(self, name: str) -> None:
        """Use a prompt as the system message, from the next reply on.

        Raises:
            ConcordanceError: There is no such prompt, or it has an unknown placeholder.
        """
        at = now().astimezone()
        self.conversation.system = self.profiles.prompt(name).text(self.model.id, at)
        self.options = replace(self.options, prompt=name)

    def set_mods(self, mods: Sequence[str]) -> None:
        """Use other mods from the next reply on.

        Raises:
            ConcordanceError: One cannot be used.
        """
        options = replace(self.options, mod=[*mods])
        self.model.check_mods(options)
        self.options = options
