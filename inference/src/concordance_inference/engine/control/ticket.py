"""A command on its way to the engine, and the reply on its way back."""

import threading
from collections.abc import Callable

from concordance_shared import ConcordanceError

from concordance_inference.control import Command, Outcome

Reply = Callable[[Outcome | ConcordanceError], None]


class Ticket:
    """A command that is applied once, or withdrawn by its sender before that."""

    def __init__(self, command: Command, reply: Reply) -> None:
        """Keep a command.

        Args:
            command: The command.
            reply: Called once on the engine's thread, unless the command is withdrawn.
        """
        self.command = command
        self.begun: Outcome | None = None  # of a command that takes time: what it did at first
        self._reply = reply
        self._lock = threading.Lock()
        self._is_claimed = False
        self._is_withdrawn = False

    def claim(self) -> bool:
        """Reserve the command for being applied; return False if it was withdrawn."""
        with self._lock:
            self._is_claimed = not self._is_withdrawn
            return self._is_claimed

    def withdraw(self) -> bool:
        """Prevent the command from being applied; return False if it is too late."""
        with self._lock:
            self._is_withdrawn = not self._is_claimed
            return self._is_withdrawn

    def reply(self, outcome: Outcome | ConcordanceError) -> None:
        """Reply to the sender."""
        self._reply(outcome)
