"""Scripts, and the same behaviour written as handlers, in the engine: the same token for token."""

import pytest
from concordance_inference.generation import SamplingParams
from concordance_sdk import builtin, mod, use
from concordance_sdk.constraints import ChoicesStrat
from concordance_sdk.self_prompt import SelfPrompt
from tiny import ask, call, make_engine, run

EOS = 256
YES_OR_NO = ChoicesStrat(["yes", "no"])
SURE = SelfPrompt(prompt=" Sure? ", constraint=YES_OR_NO, erase="all")
TOOLS = ChoicesStrat(["a", "b"])
TOOL = SelfPrompt(prompt=" Tool? ", constraint=TOOLS, erase="all")

#: Letters, spaces and full stops are likely, and the end of the sequence now and then.
BIAS = {**dict.fromkeys(b"ab. ", 5.0), EOS: 3.5}


@mod
def self_check(script):
    start = script.mark()
    text = yield script.generate()
    if text.ended_by == "length":
        return
    verdict = yield script.ask(" Sure? ", YES_OR_NO)
    if verdict.ended_by == "length":
        yield script.report(cut=True)
    if verdict == "no":
        yield script.rewind(start)
        yield script.force("Hm. ")
        yield script.generate(temperature=0.3)


@mod(max_backtrack=None)
class SelfCheck:
    def __init__(self):
        self.asked, self.tries_again = None, False

    def forward_pass(self, event, actions):
        if self.tries_again:
            return actions.adjust_logits(token_temp=0.3)
        if self.asked:
            return self.asked.before(event.step).action(actions) or self.asked.masked(actions)

    def added(self, event, actions, tokenizer):
        length = event.step + len(event.added_tokens)
        if self.asked is None:
            if event.added_tokens[-1] != EOS:
                return None
            self.asked = SURE.start(tokenizer)
            return actions.backtrack(1, self.asked.begin(length - 1).tokens)
        if self.asked.is_complete:
            return None
        edit = self.asked.after(event.step, event.added_tokens)
        if not self.asked.is_complete:
            return edit.action(actions)
        if self.asked.text == "yes":
            return actions.backtrack(edit.n, [*edit.tokens, EOS])
        self.tries_again = True
        return actions.backtrack(length, tokenizer.encode("Hm. "))


@mod
def router(script):
    tool = yield script.ask(" Tool? ", TOOLS)
    if tool.ended_by == "length":
        yield script.report(cut=True)
    if tool == "a":
        yield script.tool_call("look")


@mod(max_backtrack=None)
class Router:
    def __init__(self):
        self.asked = None

    def forward_pass(self, event, actions, tokenizer):
        self.asked = self.asked or TOOL.start(tokenizer)
        if not self.asked.is_complete:
            return self.asked.before(event.step).action(actions) or self.asked.masked(actions)
        if event.step == 0 and self.asked.text == "a":
            return actions.tool_calls([{"name": "look"}])

    def added(self, event, actions):
        return self.asked.after(event.step, event.added_tokens).action(actions)


@mod
def sentences(script):
    yield script.generate(sentences=2)
    yield script.stop()


@mod
def until(script):
    yield script.generate(until=["ab", "bb."])
    yield script.stop()


@mod
def starts(script):
    yield script.force("Hi. ")


@mod
def injects(script):
    text = yield script.generate(tokens=5)
    if text.ended_by == "tokens":
        yield script.force("[5]")


TWINS = {
    "self-check": (self_check, SelfCheck),
    "router": (router, Router),
    "sentences": (sentences, use(builtin.StopAfterSentences, count=2)),
    "until": (until, use(builtin.StopAt, phrases=["ab", "bb."])),
    "text at the start": (starts, use(builtin.InjectAtStart, text="Hi. ")),
    "text after tokens": (injects, use(builtin.InjectAfterTokens, text="[5]", count=5)),
}


def called(target):
    is_use = hasattr(target, "parameters")
    return call(target.definition, **target.parameters) if is_use else call(target)


def requests(target, **options):
    return [
        ask(
            f"Q{prompt}",
            called(target),
            max_tokens=max_tokens,
            sampling=SamplingParams(temperature=temperature, seed=prompt, logit_bias=BIAS),
            **options,
        )
        for prompt in range(5)
        for temperature in (0.0, 1.0, 2.0)
        for max_tokens in (3, 17, 60)
    ]


def ends(answers):
    return [(a.ids, a.end.text, a.end.finish_reason, len(a.end.tool_calls)) for a in answers]


def same(script, handlers):
    """Compare the ends of two lists of answers, but for questions for which there was no room.

    A script does not ask such a question; handlers begin it, and the budget ends it.
    """
    pairs = [
        pair
        for answer, *pair in zip(script, ends(script), ends(handlers), strict=True)
        if not any("cut" in report.data for report in answer.end.reports)
    ]
    assert len(pairs) >= 25
    return [one for one, _ in pairs] == [other for _, other in pairs]


@pytest.mark.parametrize("name", TWINS)
def test_a_script_writes_the_tokens_of_the_same_mod_as_handlers(name):
    script, handlers = (run(make_engine(), *requests(twin)) for twin in TWINS[name])

    assert same(script, handlers)
    assert len({text for _, text, *_ in ends(script)}) > 4


@pytest.mark.parametrize("name", TWINS)
def test_a_script_shows_in_a_stream_the_text_of_its_twin(name):
    script, handlers = TWINS[name]
    answers = run(make_engine(), *requests(script, stream=True))

    assert [a.shown for a in answers] == [a.end.text for a in answers]
    assert same(answers, run(make_engine(), *requests(handlers)))
