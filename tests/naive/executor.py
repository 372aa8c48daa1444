"""The reference implementation: one request without caches, batches or speculation.

Every decision takes one pass of the model over the whole token list. Events and actions follow
`docs/events-and-actions.md`; neither the SDK's dispatch nor the engine's sampler is used.
"""

import codecs

import numpy as np
from concordance_sdk.holds import Holds

from naive.channels import content_of, place_of
from naive.guard import masked
from naive.legal import is_legal, size_of
from naive.loops import BANNED, Loops
from naive.outcome import Event, Fault, Outcome
from naive.sampling import adjusted, log_softmax, penalized, sample

#: Limits of the reports of one request: their number, and bytes of JSON.
MAX_REPORTS = 10_000
MAX_REPORT_BYTES = 262_144


class Executor:
    """Runs one request with its mods."""

    def __init__(self, request, mods, logits, world, nudge=None, holds=None):
        """Start before the first event.

        Args:
            request: See `programs.Request`.
            mods: Its mods: `name`, `on`, `max_backtrack` and `act(event)`.
            logits: A function from a token list to the logits that follow it.  (vocab,) float32
            world: `vocab_size`, `eos_ids`, `context_length`, `longest`, `share`,
                `piece(token_id)` -> bytes; see `play.World`.
            nudge: Changes a row slightly before it is sampled; see `compare`.
            holds: What scripts among the mods hold back, or hide.
        """
        self.request, self.mods, self.logits, self.world = request, mods, logits, world
        self.prompt, self.ids, self.forced, self.nudge = list(request.prompt), [], [], nudge
        self.draw_logprobs = []  # of tokens when they were sampled; None for others
        self.drawn = None  # the log-probability of the last draw
        room, share = world.longest - len(self.prompt), world.share - len(self.prompt)
        limit = request.max_tokens
        self.budget = min(max(share, len(self.prompt)) if limit is None else limit, room)
        self.notified = dict.fromkeys(
            self.listeners("Added"), 0
        )  # tokens that each mod was notified of
        self.draws = self.num_backtracked = self.stalled = self.released = 0
        self.visited = {()}  # completions after earlier decisions
        self.reason, self.tools, self.fault, self.margins = None, (), None, []
        self.reports = []
        ends = () if request.ignore_eos else world.eos_ids
        self.ends = {*ends, *request.stop_ids}  # the tokens that end the completion
        self.forced_ends = {*world.eos_ids, *request.stop_ids}  # where a mod forces them
        self.holds = Holds() if holds is None else holds
        self.loops = Loops(request.loops, world, request.prompt)
        self.asked = False  # a mod asked for the log-probabilities of the prompt
        holds = [mod.max_backtrack for mod in mods if mod.on & {"ForwardPass", "Sampled", "Added"}]
        shows_early = request.stream and not request.retractions and None not in holds
        self.hold = max([0, *holds]) if shows_early else None

    def run(self):
        """Run the request from its prompt to its end."""
        if len(self.prompt) >= self.world.longest:
            self.fault, self.reason = Fault("ContextLengthError"), "error"
            return self.outcome()
        try:
            self.prefilled()
            self.check_memory()
            self.finish_if_complete()
            self.end_at_stop()
            while not self.reason:
                self.decide_position()
                self.end_at_stop()
                if not self.reason:
                    self.loops.leave(self)
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
        prompt_logprobs = self.take_prompt_logprobs()
        own = np.asarray(self.logits(self.prompt + self.ids), np.float64)  # the model's
        row = penalized(own, self.ids, self.request.sampling, self.world.control_ids)
        row[list(self.loops.banned.get(len(self.ids), ()))] = BANNED
        if len(self.ids) < self.request.min_tokens:
            row[list(self.ends)] = -np.inf
        temperature = self.request.sampling.temperature
        for mod in self.listeners("ForwardPass"):
            event = Event("ForwardPass", len(self.ids), logits=row, prompt_logprobs=prompt_logprobs)
            event.place = self.place()
            action = self.ask(mod, event)
            if action[0] == "logits":
                row = adjusted(row, action[1])
                temperature = action[1].get("temp", temperature)
            elif action[0] != "noop":
                return self.finish_decision(self.apply(mod, event, action))
        if not np.isfinite(row).any():
            raise Fault("InvalidActionError", None, "ForwardPass", len(self.ids))
        token_id = self.draw(row, temperature)
        self.dispatch_sampled(token_id, float(log_softmax(own)[token_id]))

    def draw(self, row, temperature):
        """Sample a token."""
        row = masked(row, self.request.guard, self.prompt, self.ids)
        token_id, margin, drawn = sample(row, temperature, self.request.sampling, self.draws)
        self.margins.append(margin)
        if self.nudge:
            row = self.nudge(row, margin)
            token_id, _, drawn = sample(row, temperature, self.request.sampling, self.draws)
        self.drawn = drawn
        self.draws += 1
        return token_id

    def take_prompt_logprobs(self):
        """Return those of the prompt's tokens, for the first position, if a mod asked for them."""
        if not self.asked:
            return None
        self.asked = False
        rows = (self.logits(self.prompt[:i]) for i in range(1, len(self.prompt)))
        return [float(log_softmax(row)[i]) for row, i in zip(rows, self.prompt[1:], strict=True)]

    def dispatch_sampled(self, token_id, logprob):
        event = Event("Sampled", len(self.ids), tokens=(token_id,), logprob=logprob)
        event.place = self.place()
        for mod in self.listeners("Sampled"):
            action = self.ask(mod, event)
            if action[0] != "noop":
                return self.finish_decision(self.apply(mod, event, action))
        self.finish_decision(self.append([token_id], forced=False))

    def finish_decision(self, added):
        """Notify mods of appended tokens until none acts, then check whether the request ends."""
        lags = any(n < len(self.ids) for n in self.notified.values())
        while not self.reason and (added or lags):
            decision = self.notify_added()
            if decision is None:
                break
            added = self.apply(*decision)
            lags = any(n < len(self.ids) for n in self.notified.values())
        self.finish_if_complete()
        if self.reason:
            self.remove_hidden()
        if self.hold is not None:
            first = self.holds.first()
            released = len(self.ids) - self.hold
            released = max(0, released if first is None else min(first, released))
            self.released = max(self.released, self.loops.settled(self.ids[:released]))

    def end_at_stop(self):
        """End the completion at the token that completes a stop string, if one does."""
        length = self.num_to_stop(self.holds.num_visible(len(self.ids)))
        if length is None:
            return
        if self.reason in (None, "length"):
            self.reason = "stop"
            self.remove_hidden()
        self.drop_after(length)

    def num_to_stop(self, num_visible):
        """Return the number of tokens up to the one that completes a stop string."""
        texts = ((n, self.text_of(self.ids[:n])) for n in range(1, num_visible + 1))
        return next((n for n, text in texts if self.stop_at(text, n) >= 0), None)

    def drop_after(self, length):
        self.ids, self.forced = self.ids[:length], self.forced[:length]
        self.draw_logprobs = self.draw_logprobs[:length]

    def remove_hidden(self):
        """Remove what is never shown from a completion that has ended."""
        for begin, end in self.holds.hidden_spans(len(self.ids)):
            self.num_backtracked += end - begin
            for tokens in (self.ids, self.forced, self.draw_logprobs):
                tokens[begin:end] = []
            self.draw_logprobs[begin:] = [None] * len(self.draw_logprobs[begin:])
        self.holds.clear()

    def notify_added(self):
        for mod, known in self.notified.items():
            if known < len(self.ids):
                self.notified[mod] = len(self.ids)
                tokens, forced = tuple(self.ids[known:]), any(self.forced[known:])
                event = Event("Added", known, tokens=tokens, forced=forced, place=self.place())
                action = self.ask(mod, event)
                if action[0] != "noop" and not self.ends_again(action):
                    return mod, event, action
        return None

    def ends_again(self, action):
        """Return True for an action that ends a completion where it has ended."""
        if action[0] not in ("force", "backtrack") or not self.has_ended():
            return False
        n, ids = (0, action[1]) if action[0] == "force" else (action[1], action[2] or [])
        if n > len(self.ids):
            return False
        kept, tail = self.ids[: len(self.ids) - n], self.until_end(ids)
        again = [*kept, *tail]
        return again == self.ids if n else len(tail) == 1 and tail[0] in self.forced_ends

    def listeners(self, name):
        return [mod for mod in self.mods if name in mod.on]

    def ask(self, mod, event):
        """Record a mod's reports and return its other action, or end the request with an error."""
        action = mod.act(event)
        actions = action[1] if action[0] == "list" else [action]
        if any(each[0] == "raise" for each in actions):
            raise refused(mod, event, "ModRaisedError")
        others = [each for each in actions if each[0] not in ("report", "noop")]
        if len(others) > 1 or any(each[0] == "list" for each in others):
            raise refused(mod, event)  # the whole list, with its reports
        for each in actions:
            if each[0] == "report":
                self.report(mod, event, each)
        action = others[0] if others else ["noop"]
        if not is_legal(event.name, action, self.world.vocab_size):
            raise refused(mod, event)
        return ("noop",) if action == ["force", []] else action

    # Actions

    def report(self, mod, event, action):
        """Record a report; one that is not legal, or exceeds a limit, ends the request."""
        if not is_legal(event.name, action, self.world.vocab_size):
            raise refused(mod, event)
        if not action[1]:
            return
        entries = [*self.reports, (mod.name, event.step, action[1])]
        num_bytes = sum(size_of(data) for _, _, data in entries)
        if len(entries) > MAX_REPORTS or num_bytes > MAX_REPORT_BYTES:
            raise refused(mod, event)
        self.reports = entries

    def apply(self, mod, event, action):
        """Carry out an action; return the appended tokens."""
        kind, added = action[0], []
        if kind == "force":
            added = self.force(action[1])
        elif kind == "backtrack":
            self.backtrack(mod, event, action[1])
            added = self.force(action[2]) if action[2] else []
        elif kind == "output":
            shown = self.ids[: self.released]
            output = self.until_end(action[1])
            fits = len(self.prompt) + len(output) <= self.world.context_length
            if not fits or list(action[1][: len(shown)]) != shown:
                raise refused(mod, event)
            self.ids, self.reason = output, "stop"
            self.holds.clear()
            self.forced = [True] * len(self.ids)
            self.draw_logprobs = [None] * len(self.ids)
        elif kind == "tools":
            self.tools, self.reason = action[1], "tool_calls"
        elif kind == "error":
            raise refused(mod, event, "EmittedError")
        if not self.reason:
            self.check_progress(mod, event)
        return added

    def append(self, ids, *, forced):
        ids = self.until_end(ids) if forced else list(ids)
        added = ids[: max(0, self.budget - len(self.ids))]
        self.ids, self.forced = self.ids + added, self.forced + [forced] * len(added)
        self.draw_logprobs = self.draw_logprobs + [None if forced else self.drawn] * len(added)
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
        self.draw_logprobs = self.draw_logprobs[:length]
        self.notified = {mod: min(known, length) for mod, known in self.notified.items()}
        self.num_backtracked += n
        self.loops.after_cut(length)

    def check_progress(self, mod, event):
        """Fail after 64 decisions in a row that lead to a completion of an earlier decision."""
        self.stalled = self.stalled + 1 if tuple(self.ids) in self.visited else 0
        self.visited.add(tuple(self.ids))
        if self.stalled >= 64 or self.num_backtracked > 8 * self.budget:
            raise refused(mod, event, "ModBudgetError")

    def adjust_prompt(self, mod, event, ids, max_steps):
        room = self.world.context_length - len(ids)
        if room <= 0:
            raise refused(mod, event)
        self.prompt = list(ids)
        self.asked |= mod.reads
        self.budget = min(self.budget, room, max_steps or room)

    def check_memory(self):
        """Fail if the prompt, or an output that needs logprobs, does not fit into the caches."""
        room = self.world.longest - len(self.prompt)
        needs_logprobs = self.request.top_logprobs is not None
        if room <= 0 or (needs_logprobs and len(self.ids) > room):
            raise Fault("ContextLengthError")
        self.budget = min(self.budget, room)

    def finish_if_complete(self):
        if not self.reason and self.has_ended():
            self.reason = "stop"
        elif not self.reason and len(self.ids) >= self.budget:
            self.reason = "length"

    def has_ended(self):
        if not self.ids:
            return False
        return self.ids[-1] in (self.forced_ends if self.forced[-1] else self.ends)

    def until_end(self, ids):
        """Return forced tokens up to the first that ends the completion."""
        ends = (i + 1 for i, token_id in enumerate(ids) if token_id in self.forced_ends)
        return list(ids[: next(ends, len(ids))])

    # Text

    def place(self):
        """Where the next token is: its channel and recipient, and if a header is next."""
        return place_of(self.world.channels, self.ids, self.world)

    def text_of(self, ids, *, final=False):
        shown = [token_id for token_id in ids if token_id not in self.request.stop_ids]
        data = b"".join(self.world.piece(token_id) for token_id in shown)
        return codecs.utf_8_decode(data, "replace", final)[0]

    def stop_at(self, text, num_tokens):
        known = len(self.text_of(self.ids[: self.request.min_tokens]))  # where none may end
        starts = [(stop, max(0, known - len(stop) + 1)) for stop in self.request.stop if stop]
        if num_tokens <= self.request.min_tokens:
            return -1
        if self.world.channels:
            content = content_of(self.world.channels, self.ids[:num_tokens], self.world)
            return self.stop_in_content(text, content)
        found = [at for stop, start in starts if (at := text.find(stop, start)) >= 0]
        return min(found, default=-1)

    def stop_in_content(self, text, content):
        """Where the stop string begins that the content completes first; -1 for none."""
        known = len(self.text_of(self.ids[: self.request.min_tokens]))
        found = [
            (at + len(stop), at)
            for begin, end in content
            for stop in self.request.stop
            if stop
            and (at := text.find(stop, max(begin, known - len(stop) + 1), min(end, len(text)))) >= 0
        ]
        return min(found, default=(0, -1))[1]

    def outcome(self):
        at = self.stop_at(self.text_of(self.ids), len(self.ids))
        text = self.text_of(self.ids, final=True) if at < 0 else self.text_of(self.ids)[:at]
        ends = [len(self.text_of(self.ids[: i + 1])) for i in range(len(self.ids))]
        whole = next((i + 1 for i, end in enumerate(ends) if end >= len(text)), len(ends))
        return Outcome(
            ids=self.ids,
            text=text,
            reason=self.reason,
            fault=self.fault,
            tools=self.tools,
            reports=self.reports,
            prompt_tokens=len(self.prompt),
            forced=self.forced,
            forced_tokens=sum(self.forced),
            backtracked_tokens=self.num_backtracked,
            num_logprobs=whole if text else 0,
            sampled_logprobs=self.draw_logprobs,
            logprobs=lambda i: log_softmax(self.logits(self.prompt + self.ids[:i])),
            margins=self.margins,
            loops=self.loops.found,
        )


def refused(mod, event, kind="InvalidActionError"):
    return Fault(kind, mod.name, event.name, event.step)
