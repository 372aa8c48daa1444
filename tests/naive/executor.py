"""Runs one request the slow and simple way: nothing cached, no batch, no speculation.

Every decision is one pass of the model over the whole token list. Events and actions follow
`docs/events-and-actions.md`; neither the SDK's dispatch nor the engine's sampler is called.
"""

import codecs

import numpy as np

from naive.legal import is_legal
from naive.outcome import Event, Fault, Outcome
from naive.sampling import adjusted, log_softmax, penalized, sample


class Executor:
    """One request and its mods."""

    def __init__(self, request, mods, logits, world, nudge=None):
        """Take a request.

        Args:
            request: What is asked; see `programs.Request`.
            mods: Its mods: `name`, `on`, `max_backtrack` and `answer(event)`.
            logits: A function from a token list to the logits behind it.  (vocab,) float32
            world: `vocab_size`, `eos_ids`, `context_length`, `longest`, `share`,
                `piece(token_id)` -> bytes; see `play.World`.
            nudge: Changes a row and its margin a little before it is sampled; see `compare`.
        """
        self.request, self.mods, self.logits, self.world = request, mods, logits, world
        self.prompt, self.ids, self.forced, self.nudge = list(request.prompt), [], [], nudge
        room, share = world.longest - len(self.prompt), world.share - len(self.prompt)
        wanted = request.max_tokens
        self.budget = min(max(share, len(self.prompt)) if wanted is None else wanted, room)
        self.told = dict.fromkeys(self.listeners("Added"), 0)  # of how many tokens each knows
        self.draws = self.num_backtracked = self.stalled = self.released = 0
        self.been = {()}  # completions that decisions have led to
        self.reason, self.tools, self.fault, self.margins = None, (), None, []
        holds = [mod.max_backtrack for mod in mods if mod.on & {"ForwardPass", "Sampled", "Added"}]
        shows_early = request.stream and not request.retractions and None not in holds
        self.hold = max([0, *holds]) if shows_early else None

    def run(self):
        """The request, from its prompt to its end."""
        if len(self.prompt) >= self.world.longest:
            self.fault, self.reason = Fault("ContextLengthError"), "error"
            return self.outcome()
        try:
            self.prefilled()
            self.check_memory()
            self.finish_if_complete()
            while not self.reason:
                self.decide_position()
                if self.reason in (None, "length") and self.stop_at(self.text_of(self.ids)) >= 0:
                    self.reason = "stop"
            self.check_memory()
        except Fault as fault:
            self.fault, self.reason = fault, "error"
        for mod in self.listeners("Finished"):
            try:
                self.ask(mod, Event("Finished", len(self.ids), reason=self.reason))
            except Fault as fault:
                self.fault = self.fault or fault
        return self.outcome()

    # Events

    def prefilled(self):
        for mod in self.listeners("Prefilled"):
            event = Event("Prefilled", 0, tokens=tuple(self.prompt), max_steps=self.budget)
            action = self.ask(mod, event)
            if action[0] == "prefill":
                self.adjust_prompt(mod, event, *action[1:])
            elif action[0] != "noop":
                self.apply(mod, event, action)
                return

    def decide_position(self):
        row = np.asarray(self.logits(self.prompt + self.ids), np.float64)
        row = penalized(row, self.ids, self.request.sampling)
        temperature = self.request.sampling.temperature
        for mod in self.listeners("ForwardPass"):
            event = Event("ForwardPass", len(self.ids), logits=row)
            action = self.ask(mod, event)
            if action[0] == "logits":
                row = adjusted(row, action[1])
                temperature = action[1].get("temp", temperature)
            elif action[0] != "noop":
                return self.settle(self.apply(mod, event, action))
        if not np.isfinite(row).any():
            raise Fault("InvalidActionError", None, "ForwardPass", len(self.ids))
        token_id, margin = sample(row, temperature, self.request.sampling, self.draws)
        self.margins.append(margin)
        if self.nudge:
            row = self.nudge(row, margin)
            token_id, _ = sample(row, temperature, self.request.sampling, self.draws)
        self.draws += 1
        self.take_sampled(token_id)

    def take_sampled(self, token_id):
        event = Event("Sampled", len(self.ids), tokens=(token_id,))
        for mod in self.listeners("Sampled"):
            action = self.ask(mod, event)
            if action[0] != "noop":
                return self.settle(self.apply(mod, event, action))
        self.settle(self.append([token_id], forced=False))

    def settle(self, added):
        """Tell of what was appended until no mod changes it; then see whether that was the end."""
        lags = any(told < len(self.ids) for told in self.told.values())
        while not self.reason and (added or lags):
            decision = self.tell_added()
            if decision is None:
                break
            added = self.apply(*decision)
            lags = any(told < len(self.ids) for told in self.told.values())
        self.finish_if_complete()
        if self.hold is not None:
            self.released = max(self.released, len(self.ids) - self.hold)

    def tell_added(self):
        for mod, told in self.told.items():
            if told < len(self.ids):
                self.told[mod] = len(self.ids)
                tokens, forced = tuple(self.ids[told:]), any(self.forced[told:])
                event = Event("Added", told, tokens=tokens, forced=forced)
                action = self.ask(mod, event)
                if action[0] != "noop":
                    return mod, event, action
        return None

    def listeners(self, name):
        return [mod for mod in self.mods if name in mod.on]

    def ask(self, mod, event):
        """A mod's action, checked; what is not allowed there ends the request."""
        action = mod.answer(event)
        if action[0] == "raise":
            raise refused(mod, event, "ModRaisedError")
        if not is_legal(event.name, action, self.world.vocab_size):
            raise refused(mod, event)
        return ("noop",) if action == ["force", []] else action

    # Actions

    def apply(self, mod, event, action):
        """Do what a mod decided; the tokens that were appended."""
        kind, added = action[0], []
        if kind == "force":
            added = self.force(action[1])
        elif kind == "backtrack":
            self.backtrack(mod, event, action[1])
            added = self.force(action[2]) if action[2] else []
        elif kind == "output":
            shown = self.ids[: self.released]
            if list(action[1][: len(shown)]) != shown:
                raise refused(mod, event)
            self.ids, self.reason = self.until_end(action[1]), "stop"
            self.forced = [True] * len(self.ids)
        elif kind == "tools":
            self.tools, self.reason = action[1], "tool_calls"
        elif kind == "error":
            raise refused(mod, event, "EmittedError")
        if not self.reason:
            self.check_progress(mod, event)
        return added

    def append(self, ids, *, forced):
        added = self.until_end(ids)[: max(0, self.budget - len(self.ids))]
        self.ids, self.forced = self.ids + added, self.forced + [forced] * len(added)
        return added

    def force(self, ids):
        added = self.append(ids, forced=True)
        if not added:
            self.reason = "length"
        return added

    def backtrack(self, mod, event, n):
        length = len(self.ids) - n
        if length < self.released:
            raise refused(mod, event)
        self.ids, self.forced = self.ids[:length], self.forced[:length]
        self.told = {mod: min(told, length) for mod, told in self.told.items()}
        self.num_backtracked += n

    def check_progress(self, mod, event):
        """A decision goes nowhere if it leads to a completion to which one has led before."""
        self.stalled = self.stalled + 1 if tuple(self.ids) in self.been else 0
        self.been.add(tuple(self.ids))
        if self.stalled >= 64 or self.num_backtracked > 8 * self.budget:
            raise refused(mod, event, "ModBudgetError")

    def adjust_prompt(self, mod, event, ids, max_steps):
        room = self.world.context_length - len(ids)
        if room <= 0:
            raise refused(mod, event)
        self.prompt = list(ids)
        self.budget = min(self.budget, room, max_steps or room)

    def check_memory(self):
        """What mods put there has to fit: a prompt, and an output whose tokens are scored."""
        room = self.world.longest - len(self.prompt)
        scores = self.request.top_logprobs is not None
        if room <= 0 or (scores and len(self.ids) > room):
            raise Fault("ContextLengthError")
        self.budget = min(self.budget, room)

    def finish_if_complete(self):
        if not self.reason and self.ids and self.ids[-1] in self.world.eos_ids:
            self.reason = "stop"
        elif not self.reason and len(self.ids) >= self.budget:
            self.reason = "length"

    def until_end(self, ids):
        ends = (i + 1 for i, token_id in enumerate(ids) if token_id in self.world.eos_ids)
        return list(ids[: next(ends, len(ids))])

    # Text

    def text_of(self, ids, *, final=False):
        data = b"".join(self.world.piece(token_id) for token_id in ids)
        return codecs.utf_8_decode(data, "replace", final)[0]

    def stop_at(self, text):
        found = [text.find(stop) for stop in self.request.stop if stop and stop in text]
        return min(found, default=-1)

    def outcome(self):
        at = self.stop_at(self.text_of(self.ids))
        text = self.text_of(self.ids, final=True) if at < 0 else self.text_of(self.ids)[:at]
        ends = [len(self.text_of(self.ids[: i + 1])) for i in range(len(self.ids))]
        whole = next((i + 1 for i, end in enumerate(ends) if end >= len(text)), len(ends))
        return Outcome(
            ids=self.ids,
            text=text,
            reason=self.reason,
            fault=self.fault,
            tools=self.tools,
            prompt_tokens=len(self.prompt),
            forced_tokens=sum(self.forced),
            backtracked_tokens=self.num_backtracked,
            num_logprobs=whole if text else 0,
            logprobs=lambda i: log_softmax(self.logits(self.prompt + self.ids[:i])),
            margins=self.margins,
        )


def refused(mod, event, kind="InvalidActionError"):
    return Fault(kind, mod.name, event.name, event.step)
