"""Compares the results of the engine and the executor for a program."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import numpy as np
from concordance_inference.generation import (
    Completed,
    Failed,
    ReportsDelta,
    Started,
    TextDelta,
    TokensDelta,
)
from concordance_sdk.request_context import RequestContext

from naive.contents import Contents
from naive.executor import Executor
from naive.hosted import Hosted
from naive.models import Oracle
from naive.play import play
from naive.programs import from_json, sampling_params
from naive.script import parts_of, scripts_of
from naive.top_to_bottom import TopToBottom

#: Logits, whose size is around 10, differ by less: rounding in another order makes 1e-6 to 1e-5.
TOLERANCE = 2e-4

#: Choices whose margin is below this are near ties: rounding can turn them.
TIE = 1e-4

#: So often a program with near ties is tried again with other roundings.
NUM_NUDGES = 40


@dataclass
class Report:
    """The result of comparing one program."""

    differences: list[str] = field(default_factory=list)
    near_ties: list[str] = field(default_factory=list)
    num_requests: int = 0
    num_tokens: int = 0
    worst: float = 0.0  # largest difference of a logit


def check(program, *, strict=False):
    """Run a program in the engine and in the executor, and compare."""
    program = from_json(program.to_json())  # a copy: conversations extend their prompts
    report = Report()
    played, world, problem = play(program)
    if problem:
        report.differences.append(problem)
        return report
    oracle = Oracle(program.model, strict=strict)
    for one in played:
        if isinstance(one.end, Completed):
            oracle.hint([*_prompt(one), *one.end.token_ids])
        compared = _Compared(one, _expected(one, world, oracle))
        report.num_requests += 1
        report.num_tokens += len(compared.expected.ids)
        difference = compared.difference()
        report.worst = max(report.worst, compared.worst)
        if difference:
            is_tie = _is_near_tie(one, compared.expected, world, oracle)
            found = report.near_ties if is_tie else report.differences
            found.append(f"{one.name}: {difference}")
    return report


def _prompt(one):
    """Return the prompt after mods adjusted it, if any mod received it."""
    prompt = one.request.prompt
    for script in one.scripts:
        for event in script.events:
            if event.name == "Prefilled":
                prompt = event.tokens
    return prompt


def _is_near_tie(one, expected, world, oracle):
    """Return True if a small change of the logits at near ties makes the executor agree."""
    if min(expected.margins, default=1) >= TIE:
        return False
    for seed in range(NUM_NUDGES):
        dice = np.random.default_rng(seed)

        def nudge(row, margin, dice=dice):
            return row + dice.uniform(-TIE, TIE, len(row)) if margin < TIE else row

        if not _Compared(one, _expected(one, world, oracle, nudge)).difference():
            return True
    return False


def _expected(one, world, oracle, nudge=None):
    scripts = scripts_of(one.request, world.vocab_size)
    request = SimpleNamespace(**{**vars(one.request), "sampling": sampling_params(one.request)})
    if len(scripts) == 1 and scripts[0].steps:
        outcome = TopToBottom(request, scripts[0], oracle, world, nudge).run()
    else:
        context = RequestContext()
        mods = [Hosted(each, context) if each.steps else each for each in parts_of(scripts)]
        contents = [Contents(request, world)] if request.formats else []
        executor = Executor(request, [*mods, *contents], oracle, world, nudge, context.holds)
        for each in contents:
            each.executor = executor
        outcome = executor.run()
    outcome.events = [script.events for script in parts_of(scripts)]
    return outcome


class _Compared:
    """One request: the engine's result and the expected one."""

    def __init__(self, one, expected):
        self.one, self.expected = one, expected
        self.worst = 0.0

    @property
    def has_script(self):
        """True if the only mod is a script, of which no events are expected."""
        return len(self.one.scripts) == 1 and bool(self.one.scripts[0].steps)

    def difference(self):
        """Describe the first difference; `None` if there is none."""
        if self.has_script and self.one.was_cancelled:
            return None
        if self.one.was_cancelled:
            return self.events() or self.reports()
        return self.events() or self.end() or self.reports() or self.logprobs() or self.stream()

    def events(self):
        """Compare the events of mods; of a cancelled request, those before the end."""
        for i, script in enumerate(self.one.scripts):
            seen, expected = self.comparable(script.events, self.expected.events[i])
            for n, (a, b) in enumerate(zip(seen, expected, strict=False)):
                if problem := self.event(a, b):
                    return f"event {n} of mod {i}: {problem}"
            num_common = min(len(seen), len(expected))
            for more in [*seen[num_common:], *expected[num_common:]][:1]:
                counts = f"saw {len(seen)} events, expected {len(expected)}"
                return f"mod {i} {counts}; the next is {more.without_logits()}"
        return None

    def comparable(self, seen, expected):
        """Return the events that must be equal."""
        if self.one.was_cancelled:
            seen = [event for event in seen if event.name != "Finished"]
            return seen, expected[: len(seen)]
        if self.is_stalled():
            num_sure = min(len(seen), len(expected)) - 4
            return seen[: max(0, num_sure)], expected[: max(0, num_sure)]
        return seen, expected

    def is_stalled(self):
        """Return True if both ended since mods made no progress.

        The documentation does not define which decision exactly is the last one.
        """
        fault, end = self.expected.fault, self.one.end
        return (
            fault is not None
            and fault.kind == "ModBudgetError"
            and isinstance(end, Failed)
            and type(end.error).__name__ == "ModBudgetError"
        )

    def event(self, seen, expected):
        """Describe how two events differ."""
        if seen.without_logits() != expected.without_logits():
            return f"{seen.without_logits()}, expected {expected.without_logits()}"
        if problem := self.prompt_logprobs(seen.prompt_logprobs, expected.prompt_logprobs):
            return problem
        if isinstance(seen.logits, np.ndarray):
            return self.row(seen.logits, expected.logits, f"the logits at step {seen.step}")
        if seen.logprob is not None:
            return self.logprob(seen.logprob, expected.logprob, seen.step)
        return None

    def prompt_logprobs(self, seen, expected):
        """Describe how the log-probabilities of the prompt differ."""
        if seen is None or expected is None or len(seen) != len(expected):
            return None if seen == expected else f"prompt logprobs {seen}, expected {expected}"
        apart = np.abs(np.subtract(seen, expected)).max(initial=0)
        self.worst = max(self.worst, float(apart))
        return None if apart <= TOLERANCE else f"prompt logprobs differ by {apart:.3g}"

    def logprob(self, seen, expected, step):
        """Describe how the log-probabilities of a sampled token differ."""
        apart = 0 if seen == expected else abs(seen - expected)  # both may be -inf
        self.worst = max(self.worst, apart)
        return f"logprob at step {step} differs by {apart:.3g}" if not apart <= TOLERANCE else None

    def row(self, seen, expected, what):
        """Describe how two rows of logits differ."""
        allowed = ~np.isneginf(seen)
        if not np.array_equal(allowed, ~np.isneginf(expected)):
            return f"{what} drop other tokens"
        apart = np.abs(seen[allowed] - expected[allowed]).max(initial=0)
        self.worst = max(self.worst, float(apart))
        return f"{what} differ by {apart:.3g}" if not apart <= TOLERANCE else None

    def end(self):
        """Describe how the ends differ."""
        end, expected = self.one.end, self.expected
        if expected.fault:
            if not isinstance(end, Failed):
                return f"ended well, expected {expected.fault}"
            return None if self.is_stalled() else self.fault(end.error, expected.fault)
        if isinstance(end, Failed):
            return f"failed ({end.error!r}), expected {expected.reason}, {expected.ids}"
        pairs = {
            "token ids": (list(end.token_ids), expected.ids),
            "finish reason": (end.finish_reason, expected.reason),
            "text": (end.text, expected.text),
            "prompt tokens": (end.prompt_tokens, expected.prompt_tokens),
            "completion tokens": (end.completion_tokens, len(expected.ids)),
            "loops": ([msgspec.structs.astuple(loop) for loop in end.loops], expected.loops),
            "origins": ([by is not None for by in end.forced_by], expected.forced),
            "forced tokens": (end.forced_tokens, expected.forced_tokens),
            "backtracked tokens": (end.backtracked_tokens, expected.backtracked_tokens),
            "tool calls": (
                [call.function.name for call in end.tool_calls],
                [call["name"] for call in expected.tools],
            ),
        }
        if self.has_script:
            del pairs["backtracked tokens"]  # edits of one event are joined
        for what, (a, b) in pairs.items():
            if a != b:
                return f"{what}: {a!r}, expected {b!r}"
        if not 0 <= end.cached_tokens < max(1, end.prompt_tokens):
            return f"cached tokens: {end.cached_tokens} of {end.prompt_tokens}"
        return None

    def fault(self, error, expected):
        """Describe how the errors differ."""
        seen = (type(error).__name__, getattr(error, "event", None), getattr(error, "step", None))
        if self.has_script and seen[0] == expected.kind:
            return None
        if seen != (expected.kind, expected.event, expected.step):
            return f"failed with {error!r}, expected {expected}"
        if expected.mod and error.mod != expected.mod:
            return f"the error names {error.mod!r}, expected {expected.mod!r}"
        return None

    def reports(self):
        """Describe how the reports differ; of a cancelled request, those before the end."""
        end, expected = self.one.end, self.expected.reports
        ends_with = end.error.reports if isinstance(end, Failed) else end.reports
        seen = [(report.mod, report.step, report.data) for report in ends_with]
        if self.has_script:
            seen = [(mod, None, data) for mod, _, data in seen]
        if self.one.was_cancelled:
            seen = [each for each in seen if each[2].get("on") != "Finished"]
            seen = [each for each in seen if "over" not in each[2]]
            expected = expected[: len(seen)]
        if not self.is_stalled() and seen != expected:
            return f"reports: {_short(seen)}, expected {_short(expected)}"
        return self.streamed_reports(ends_with)

    def streamed_reports(self, reports):
        """Describe how the reports in a stream differ from those at its end."""
        updates, end = self.one.updates, self.one.end
        deltas = [update.reports for update in updates if isinstance(update, ReportsDelta)]
        streamed = [report for delta in deltas for report in delta]
        is_started = any(isinstance(update, Started) for update in updates)
        has_stream = self.one.request.stream and (is_started or isinstance(end, Completed))
        expected = list(reports) if has_stream else []
        return None if streamed == expected else f"streamed the reports {_short(streamed)}"

    def logprobs(self):
        """Describe how log-probabilities differ."""
        end, num_top = self.one.end, self.one.request.top_logprobs
        if isinstance(end, Failed):
            return None
        num_expected = 0 if num_top is None else self.expected.num_logprobs
        if len(end.logprobs) != num_expected:
            return f"{len(end.logprobs)} log-probabilities, expected {num_expected}"
        for i, entry in enumerate(end.logprobs):
            row = self.expected.logprobs(i)
            if entry.token_id != self.expected.ids[i] or len(entry.top) != num_top:
                return f"log-probability {i} is {entry}"
            best = np.sort(row)[::-1][:num_top]
            pairs = [
                (entry.logprob, row[entry.token_id]),
                *((logprob, row[token_id]) for token_id, logprob in entry.top),
                *zip([logprob for _, logprob in entry.top], best, strict=True),
            ]
            apart = max(abs(a - b) for a, b in pairs)
            self.worst = max(self.worst, float(apart))
            if not apart <= TOLERANCE:
                return f"log-probability {i} differs by {apart:.3g}"
            if problem := self.sampled_logprob(i, entry.sampled_logprob):
                return problem
        return None

    def sampled_logprob(self, i, seen):
        """Describe how the log-probability of a token when it was sampled differs."""
        if self.has_script:  # edits of one event are joined
            return None
        expected = self.expected.sampled_logprobs[i] if self.one.request.sampled_logprobs else None
        if seen is None or expected is None:
            is_same = seen is expected
        else:
            is_same = abs(seen - expected) <= TOLERANCE * 5  # divided by a temperature
        return None if is_same else f"sampled log-probability {i} is {seen}, expected {expected}"

    def stream(self):
        """Describe how the streamed text differs from the final one."""
        request, updates, end = self.one.request, self.one.updates, self.one.end
        deltas = [update for update in updates if isinstance(update, TextDelta)]
        if not request.stream and deltas:
            return "text was streamed without a request for it"
        shown = ""
        for delta in deltas:
            shown = shown[: len(shown) - delta.retracted] + delta.text
        retracts = any(delta.retracted for delta in deltas)
        if retracts and not request.retractions:
            return "shown text was retracted"
        if isinstance(end, Failed):
            begins = self.expected.text.startswith(shown)
            return None if begins or request.retractions else f"showed {shown!r} and failed"
        if request.stream and shown != self.expected.text:
            return f"streamed {shown!r}, expected {self.expected.text!r}"
        if request.stream and request.top_logprobs is not None and not request.retractions:
            entries = [entry for delta in deltas for entry in delta.logprobs]
            if entries != list(end.logprobs):
                return f"{len(entries)} log-probabilities streamed of {len(end.logprobs)}"
        return self.tokens(updates, end) if request.show_tokens else None

    def tokens(self, updates, end):
        """Describe how the tokens shown one at a time differ from the final ones."""
        shown = []
        for update in updates:
            if isinstance(update, TokensDelta):
                shown[update.kept :] = [(t.token_id, t.forced, t.text) for t in update.tokens]
        if [token_id for token_id, _, _ in shown] != list(end.token_ids):
            return f"showed the tokens {shown}"
        text = "".join(text for _, _, text in shown)
        if not self.one.request.stop and text != self.expected.text:
            return f"showed tokens that read {text!r}, expected {self.expected.text!r}"
        forced = sum(forced for _, forced, _ in shown)
        return None if forced == end.forced_tokens else f"showed {forced} tokens as forced"


def _short(reports):
    return f"{reports!r:.400}"
