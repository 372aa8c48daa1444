"""Mods whose answers arrive late, as those of mods in other processes do."""

import math
import random

from concordance_inference.suspension import await_answer, can_wait


class Answer:
    """An answer that arrives once it has been asked for some times."""

    deadline = math.inf

    def __init__(self, times):
        """Let it arrive at a time.

        Args:
            times: How often the call is continued in vain.
        """
        self.times = times

    def fileno(self):
        """No descriptor: the call is continued in each step."""
        return -1

    def wait(self):
        """Park the running call until the answer is there."""
        while self.times:
            self.times -= 1
            await_answer(self)


class LateInstance:
    """An instance of a mod that answers late."""

    def __init__(self, instance, dice):
        self._instance = instance
        self._dice = dice
        self.name = instance.name
        self.max_backtrack = instance.max_backtrack
        self.listens_to = instance.listens_to
        self.instances = (self,)

    def ask(self, event):
        """Call the handler, and return its action later; at once outside of the engine."""
        action = self._instance.ask(event)
        if can_wait():
            Answer(self._dice.choice([0, 0, 1, 2, 7])).wait()
        return action


class LateMod:
    """A mod of a request that answers late."""

    may_park = True

    def __init__(self, mod, seed):
        """Wrap a mod.

        Args:
            mod: Runs in this process.
            seed: Of how late each answer is.
        """
        dice = random.Random(seed)
        self._mod = mod
        self.name, self.request = mod.name, mod.request
        self.max_backtrack, self.contained = mod.max_backtrack, mod.contained
        self.instances = tuple(LateInstance(each, dice) for each in mod.instances)
        self.is_closed = False

    num_calls = property(lambda self: self._mod.num_calls)
    seconds = property(lambda self: self._mod.seconds)

    def listens_to(self, event_type):
        """True if the mod itself handles the event."""
        return self._mod.listens_to(event_type)

    def close(self):
        """Note that no event follows."""
        self.is_closed = True
