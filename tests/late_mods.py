"""Mods whose answers arrive late, as those of mods in other processes do."""

import math
import random

import msgspec
from concordance_inference.engine.request.instances import make_instances
from concordance_inference.suspension import await_answer, can_wait
from tiny import TRAITS


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


class Stuck:
    """An answer that does not arrive before `is_there`."""

    deadline = math.inf

    def __init__(self, error=None):
        self.is_there, self.error, self.num_waits = False, error, 0

    def fileno(self):
        return -1

    def wait(self):
        while not self.is_there:
            self.num_waits += 1
            await_answer(self)
        if self.error:
            raise self.error


class StuckAt(LateMod):
    """A mod that gets stuck at the n-th event of a type."""

    def __init__(self, instance, event_type, answer, nth):
        super().__init__(instance, 0)
        self._events, self._answer, self._left = event_type, answer, nth
        self.instances = (self,)

    def ask(self, event):
        action = self._mod.ask(event)
        if type(event) is self._events and can_wait():
            self._left -= 1
            if not self._left:
                self._answer.wait()
        return action


def stuck_request(request, event_type, answer, nth=1):
    """Let the one mod of a request get stuck; return the request, and the mod."""
    (instance,) = make_instances(request, TRAITS)
    late = StuckAt(instance, event_type, answer, nth)
    return msgspec.structs.replace(request, instances=(late,)), late
