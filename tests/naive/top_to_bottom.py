"""Runs a request with one script, without events: each step does at once what it says.

Between two passes of the model, everything that the script does is one decision. The completion is
checked for its end once the script needs the next position, as it is after the mods of a decision.
"""

import codecs
import re
from types import SimpleNamespace

import numpy as np
from concordance_sdk.script import EndedBy, Text

from naive.executor import Executor
from naive.outcome import Fault
from naive.programs import EOS
from naive.sampling import adjusted, log_softmax, penalized
from naive.steps import script_of

_SENTENCE = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s)|[\u3002\uff01\uff1f]")


class Stopped(Exception):  # noqa: N818  # not an error
    """The script has ended."""


class Over(Exception):  # noqa: N818  # not an error
    """The request has ended."""


class TopToBottom(Executor):
    """A request whose only mod is a script."""

    def __init__(self, request, mod, logits, world, nudge=None):
        """Start before the first step; see `Executor`."""
        super().__init__(request, [], logits, world, nudge)
        self.name = mod.name
        self.script = script_of(mod.steps)(Run(self))
        self.made = []  # reports that the script has not yielded
        self.marks = []
        self.hidden = None  # the span that is never shown: first token, and the one after
        self.low = 0  # the smallest length since the last event
        self.seen = [], []  # the completion at the last event

    def run(self):
        """Run the request from its prompt to its end."""
        if len(self.prompt) >= self.world.longest:
            self.fault, self.reason = Fault("ContextLengthError"), "error"
        try:
            if not self.fault:
                self.follow_script()
        except Over:
            self.remove_hidden()
            self.drop_after(self.num_to_stop(len(self.ids)))
        except Fault as fault:
            self.fault, self.reason = fault, "error"
        self.script.close()
        self.send_made()
        try:
            self.check_memory()
        except Fault as fault:
            self.fault, self.reason = self.fault or fault, "error"
        return self.outcome()

    def follow_script(self):
        is_before = True
        try:
            step = next(self.script)
            while True:
                kind, *values = step
                if is_before and kind not in ("report", "tool_call", "error"):
                    self.check_memory()
                    self.finish_if_complete()
                    if self.reason:
                        raise Over
                    is_before = False
                self.send_made(step)
                step = self.script.send(getattr(self, f"step_{kind}")(*values))
        except StopIteration:
            self.send_made()
        except Stopped:
            pass
        if is_before:
            self.check_memory()
        while True:
            self.sampled(self.position())

    # Steps

    def step_generate(self, options):
        self.drop_end()
        begin, first_char = len(self.ids), len(text_of(self.ids))
        limit = options.get("tokens")
        if self.settle() and (limit == 0 or self.is_full()):
            return self.result(begin, "tokens" if limit == 0 else "length")
        while True:
            row = self.position()
            if limit == 0:
                return self.result(begin, "tokens")
            self.sampled(adjusted(row, {"bias": options["bias"]}), options.get("temperature"))
            ended_by = self.ended_by(begin, first_char, options)
            if ended_by:
                return self.result(begin, ended_by)

    def ended_by(self, begin, first_char, options):
        """Return why a generated text ends here, if it does, and remove what follows its end."""
        text = text_of(self.ids)
        num_tokens = len(self.ids) - self.has_ended() - begin
        for at in range(first_char, len(text)):
            found = [each for each in options.get("until", ()) if text.startswith(each, at)]
            if found:
                keeps = options["keeps_until"]
                self.cut_text(at + len(max(found, key=len)) if keeps else at)
                return "until"
        ends = [first_char + m.end() for m in _SENTENCE.finditer(text[first_char:])]
        is_final = self.has_ended() or self.is_full()
        if not is_final and len(ends) >= options.get("sentences", len(text) + 1):
            self.cut_text(ends[options["sentences"] - 1])
            return "sentences"
        if "tokens" in options and num_tokens >= options["tokens"]:
            self.cut(begin + options["tokens"])
            return "tokens"
        return "model" if self.has_ended() else "length" if self.is_full() else None

    def step_ask(self, prompt, choices, erase):
        if not self.has_room(len(prompt.encode()) + 1):
            return Text("", ended_by=EndedBy.LENGTH)
        end = self.ids[-1:] if self.has_ended() and erase == "all" else []
        self.drop_end()
        begin = len(self.ids)
        answer_begin = begin + len(prompt)
        choices = [choice.encode() for choice in choices]
        self.add([*prompt.encode(), *common(choices)])
        if erase != "none":
            self.hidden = (begin, answer_begin if erase == "prompt" else None)
        while bytes(answer := self.ids[answer_begin:]) not in choices:
            self.settle()
            if self.is_full():
                break
            row = self.position()
            possible = [c for c in choices if c.startswith(bytes(answer))]
            self.sampled(adjusted(row, {"allow": [c[len(answer)] for c in possible]}))
            answer = bytes(self.ids[answer_begin:])
            self.add(common([c for c in choices if c.startswith(answer)])[len(answer) :])
            self.settle()
        self.hidden = None
        if erase != "none":
            self.cut(begin)
            self.add(answer if erase == "prompt" else end)
        ended_by = EndedBy.CONSTRAINT if bytes(answer) in choices else EndedBy.LENGTH
        return Text(bytes(answer).decode(), token_ids=answer, ended_by=ended_by)

    def step_choose(self, texts):
        if not self.has_room(max(len(text.encode()) for text in texts)):
            return Text("", ended_by=EndedBy.LENGTH)
        self.drop_end()
        row = self.position()
        begin, paths = len(self.ids), [text.encode() for text in texts]
        self.hidden = (begin, None)
        logprobs = {b"": log_softmax(row)}
        for path in sorted(paths):
            for prefix in [path[:i] for i in range(1, len(path))]:
                if prefix not in logprobs:
                    self.cut(begin)
                    self.add(prefix)
                    logprobs[prefix] = log_softmax(self.position())
        totals = [_total(path, paths, logprobs) for path in paths]
        best = int(np.argmax(totals))
        self.margins.append(abs(totals[best] - sorted(totals)[-2]))
        self.cut(begin)
        self.add(paths[best])
        self.hidden = None
        return Text(texts[best], token_ids=paths[best])

    def step_force(self, forced):
        ids = list(forced.encode()) if isinstance(forced, str) else forced
        self.drop_end()
        begin = len(self.ids)
        self.add(ids)
        is_whole = isinstance(forced, str) and self.ids[begin:] == ids
        return self.result(begin, "script", forced if is_whole else None)

    def step_rewind(self, mark):
        position, end = mark.position, mark.end
        self.cut(position)
        for each in self.marks:
            if position < each.position:
                each.position, each.end = position, []
        self.add(end)

    def step_report(self, data):
        self.reports = [*self.reports, (self.name, None, data)]

    def step_stop(self):
        if not self.has_ended():
            self.add([EOS])
        raise Stopped

    def step_tool_call(self, name, arguments):
        self.end_by_action()
        self.tools, self.reason = [{"name": name, "arguments": arguments}], "tool_calls"
        raise Over

    def step_error(self, message):
        self.end_by_action()
        raise Fault("EmittedError")

    def end_by_action(self):
        """Wait for the next event if there is an edit: with tokens, it is that of this decision."""
        if not self.settle() and self.removed:
            self.position()

    # The completion

    def position(self):
        """Return the logits of the next position, unless the request has ended."""
        self.settle()
        self.finish_if_complete()
        num_visible = self.hidden[0] if self.hidden else len(self.ids)
        if self.reason in (None, "length") and self.num_to_stop(num_visible) is not None:
            self.reason = "stop"
        if self.reason:
            raise Over
        row = np.asarray(self.logits(self.prompt + self.ids), np.float64)
        return penalized(row, self.ids, self.request.sampling, self.world.control_ids)

    def sampled(self, row, temperature=None):
        """Sample a token, and append it."""
        usual = self.request.sampling.temperature
        self.append([self.draw(row, usual if temperature is None else temperature)], forced=False)
        self.see()

    def settle(self):
        """Make the pending edit, at which an event follows if it appends tokens."""
        appends, self.removed = len(self.ids) > self.low, len(self.seen[0]) > self.low
        self.see()
        return appends

    def see(self):
        self.low, self.seen = len(self.ids), ([*self.ids], [*self.forced])

    def add(self, ids):
        if ids:
            self.drop_end()
            self.append(ids, forced=True)
            if self.ids == self.seen[0]:  # nothing has changed
                self.low, self.forced = len(self.ids), [*self.seen[1]]

    def cut(self, length):
        self.ids, self.forced = self.ids[:length], self.forced[:length]
        self.low = min(self.low, len(self.ids))

    def cut_text(self, char):
        """Keep the first characters. Tokens that they begin or end in are written again."""
        text = text_of(self.ids)
        lengths = [len(text_of(self.ids[:i])) for i in range(len(self.ids) + 1)]
        whole = [i for i, n in enumerate(lengths) if n <= char and is_whole(self.ids[:i])]
        self.cut(whole[-1])
        self.add(list(text[lengths[whole[-1]] : char].encode()))

    def drop_end(self):
        if self.has_ended():
            self.cut(len(self.ids) - 1)

    def has_ended(self):
        return self.ids[-1:] == [EOS]

    def is_full(self):
        return len(self.ids) >= self.budget

    def has_room(self, num_tokens):
        return self.budget - (len(self.ids) - self.has_ended()) >= num_tokens

    def remove_hidden(self):
        if self.hidden:
            begin, end = self.hidden
            for tokens in (self.ids, self.forced):
                tokens[begin:end] = []

    def result(self, begin, ended_by, text=None):
        ids = self.ids[begin : len(self.ids) - self.has_ended()]
        added = text_of(self.ids)[len(text_of(self.ids[:begin])) :]
        return Text(added if text is None else text, token_ids=ids, ended_by=EndedBy(ended_by))

    def send_made(self, step=None):
        """Send the reports that the script made before a step without yielding them."""
        made, self.made = self.made, []
        for report in made:
            if report is not step:
                self.step_report(report[1])


class Run:
    """The argument of a script."""

    def __init__(self, request):
        """Make the run of a request."""
        self._request = request

    position = property(lambda self: len(self._request.ids))

    def mark(self):
        request = self._request
        end = request.ids[-1:] if request.has_ended() else []
        mark = SimpleNamespace(position=len(request.ids) - len(end), end=end, release=lambda: None)
        request.marks.append(mark)
        return mark

    def report(self, **data):
        self._request.made.append(("report", data))
        return self._request.made[-1]

    def generate(self, **options):
        return ("generate", options)

    def ask(self, prompt, constraint, *, erase):
        return ("ask", prompt, constraint.choices, erase)

    def choose(self, texts):
        return ("choose", texts)

    def force(self, text):
        return ("force", text)

    def rewind(self, mark):
        return ("rewind", mark)

    def stop(self):
        return ("stop",)

    def tool_call(self, name, **arguments):
        return ("tool_call", name, arguments)

    def error(self, message):
        return ("error", message)


def text_of(ids):
    """Return the text of tokens that are bytes, without an incomplete character at its end."""
    data = bytes(token_id for token_id in ids if token_id < EOS)
    return codecs.utf_8_decode(data, "replace", False)[0]


def is_whole(ids):
    """Return True if no character at the end is incomplete."""
    data = bytes(token_id for token_id in ids if token_id < EOS)
    return codecs.utf_8_decode(data, "replace", False)[1] == len(data)


def common(choices):
    """Return what all choices begin with."""
    least, most = min(choices), max(choices)
    same = [a == b for a, b in zip(least, most, strict=False)]
    return least[: same.index(False) if False in same else len(same)]


def _total(path, paths, logprobs):
    """Return the log-probability of a text, and of none of those that continue it."""
    total = sum(logprobs[path[:i]][path[i]] for i in range(len(path)))
    longer = {other[len(path)] for other in paths if other != path and other.startswith(path)}
    rest = sum(np.exp(logprobs[path][token_id]) for token_id in longer)
    return total + np.log1p(-rest)
