"""A completion that is cut and resumed equals one that is not, wherever it is cut."""

import pytest
from concordance_inference.engine.config import EngineConfig
from concordance_inference.engine.engine import Engine
from concordance_inference.generation import SamplingParams, TokensDelta
from concordance_inference.resume.ended import EndedCompletions
from concordance_inference.resume.request import resumed_request
from concordance_sdk import Added, ForwardPass, Prefilled, mod
from concordance_shared import ContextLengthError, InvalidRequestError
from families import model_named
from msgspec.structs import replace
from tiny import EOS, TRAITS, ask, call, run, runner_of, submit

#: One family for each kind of cache: full attention, windows, chunks, states, both, lists of them.
CACHES = ["llama", "gpt_oss", "llama4", "mamba", "qwen3_next", "deepseek_v3"]

ENDLESS = replace(TRAITS, eos_ids=frozenset())
PROMPT = "A prompt of more than sixteen tokens: "


class Resumable:
    """An engine whose completions can be resumed."""

    def __init__(self, family="llama", *, traits=ENDLESS, **config):
        self.traits = traits
        self.ended = EndedCompletions(300)
        config = EngineConfig(**config)
        self.engine = Engine(
            runner_of(model_named(family)), traits, config, lambda one: self.ended.keep("m", one)
        )

    def run(self, request):
        return run(self.engine, request)

    def resumed(self, request, **changes):
        """The request that continues the completion of another one."""
        return resumed_request(
            self.ended.find("m", request.request_id),
            changes,
            new_decoder=self.traits.new_decoder,
            context_length=self.traits.context_length,
        )

    def in_two(self, request, cut, **changes):
        """Run a request up to a cut, and the rest; return both ends."""
        first = replace(request, max_tokens=cut)
        one = self.run(first)
        changes = {"stream": request.stream, "max_tokens": request.max_tokens - cut, **changes}
        self.last = self.resumed(first, **changes)
        return one, self.run(self.last)


@pytest.mark.parametrize("family", CACHES)
def test_a_completion_resumed_at_any_cut_equals_the_uncut_one(family):
    engine = Resumable(family)
    request = ask(PROMPT, max_tokens=9, sampling=SamplingParams(seed=5, temperature=0.8))
    whole = engine.run(request)

    for cut in range(1, 9):
        first, second = engine.in_two(request, cut)
        assert first.ids + second.ids == whole.ids, cut
        assert second.end.prompt_tokens == len(PROMPT) + cut
        assert second.end.completion_tokens == 9 - cut


@pytest.mark.parametrize("family", CACHES)
def test_a_resumed_completion_reads_one_token_while_its_caches_are_held(family):
    engine = Resumable(family)
    request = ask(PROMPT, max_tokens=20)

    _, second = engine.in_two(request, 12)

    assert second.end.prompt_tokens - second.end.cached_tokens == 1


@pytest.mark.parametrize("family", CACHES)
def test_without_a_prefix_cache_a_completion_is_resumed_from_its_tokens(family):
    engine = Resumable(family, prefix_bytes=0)
    request = ask(PROMPT, max_tokens=9, sampling=SamplingParams(seed=1))
    whole = engine.run(request)

    first, second = engine.in_two(request, 4)

    assert first.ids + second.ids == whole.ids
    assert second.end.cached_tokens == 0


#: The end of the completion is far more probable than all other tokens.
ENDS = SamplingParams(temperature=0, logit_bias={EOS: 100.0})

EVERYTHING = SamplingParams(
    seed=3,
    temperature=1.2,
    top_p=0.9,
    repetition_penalty=1.4,
    presence_penalty=0.5,
    frequency_penalty=0.3,
    xtc_probability=0.5,
    logit_bias={65: 2.0},
)


def test_penalties_and_random_numbers_continue_where_the_completion_was_cut():
    engine = Resumable()
    request = ask(PROMPT, max_tokens=24, sampling=EVERYTHING)
    whole = engine.run(request)

    for cut in range(1, 24):
        first, second = engine.in_two(request, cut)
        assert first.ids + second.ids == whole.ids, cut


def test_a_completion_without_a_seed_continues_with_the_seed_it_drew():
    engine = Resumable()
    request = ask(PROMPT, max_tokens=8, sampling=SamplingParams(temperature=1.5))
    engine.run(request)
    seed = engine.ended.find("m", request.request_id).seed
    sampling = replace(request.sampling, seed=seed)
    whole = engine.run(ask(PROMPT, max_tokens=16, sampling=sampling))

    second = engine.run(engine.resumed(request, max_tokens=8))

    assert whole.ids[8:] == second.ids


def test_a_completion_is_resumed_again_and_again():
    engine = Resumable()
    request = ask(PROMPT, max_tokens=6, sampling=EVERYTHING)
    whole = engine.run(request)
    part = replace(request, max_tokens=1)
    ids = engine.run(part).ids
    for _ in range(5):
        part = engine.resumed(part, max_tokens=1)
        ids += engine.run(part).ids

    assert ids == whole.ids


def test_the_changes_of_a_resumed_request_apply_from_the_cut_on():
    engine = Resumable()
    request = ask(PROMPT, max_tokens=8, sampling=EVERYTHING)
    greedy = {"sampling": {"temperature": 0.0}}

    _, second = engine.in_two(request, 4, **greedy)
    _, again = engine.in_two(request, 4, **greedy)

    assert second.ids == again.ids
    assert second.ids != engine.run(request).ids[4:]


def speaks(text):
    """A mod with which the model samples the bytes of a text. It has no state."""
    data = text.encode()

    @mod(name="speaks", max_backtrack=0, registered=False, on=[ForwardPass])
    def speaker(event, actions, tokenizer):
        mask = bytearray(1 + tokenizer.vocab_size // 8)
        token_id = data[event.step] if event.step < len(data) else EOS
        mask[token_id // 8] |= 1 << token_id % 8
        return actions.adjust_logits(mask=bytes(mask))

    return speaker


@pytest.mark.parametrize("stream", [False, True])
def test_text_continues_within_a_character(stream):
    text, engine = "é€😀", Resumable()
    data = text.encode()
    request = ask(PROMPT, speaks(text), max_tokens=len(data), stream=stream)
    for cut in range(1, len(data)):
        first, second = engine.in_two(request, cut)
        beginning = engine.last.beginning

        assert beginning.shown == first.end.text == data[:cut].decode(errors="replace")
        assert beginning.text + second.end.text == text
        assert second.shown == (second.end.text if stream else "")


@pytest.mark.parametrize("stream", [False, True])
def test_a_stop_string_that_spans_the_cut_ends_the_completion(stream):
    text, engine = "abc STOP def", Resumable()
    request = ask(PROMPT, speaks(text), max_tokens=12, stop=("STOP",), stream=stream)
    for cut in range(1, 8):
        first, second = engine.in_two(request, cut)
        beginning = engine.last.beginning

        assert second.end.finish_reason == "stop"
        assert second.end.stopped_by == "STOP"
        assert first.end.text == text[:cut]
        assert beginning.text == text[: min(cut, 4)]
        assert beginning.text + second.end.text == "abc "
        assert second.shown == (second.end.text if stream else "")


def test_a_stop_string_is_not_searched_in_the_text_before_the_cut():
    engine = Resumable()
    request = ask(PROMPT, speaks("abcdefabcdef"), max_tokens=12)

    _, second = engine.in_two(request, 5, stop=("cd",))

    assert second.end.text == "fab"


def test_the_fewest_tokens_count_from_the_beginning_of_the_completion():
    engine = Resumable(traits=TRAITS)
    request = ask(PROMPT, max_tokens=12, min_tokens=6, sampling=ENDS)

    _, second = engine.in_two(request, 4)

    assert engine.run(request).end.completion_tokens == 7  # the last one ends it
    assert second.end.completion_tokens == 3


def test_logprobs_are_those_of_the_new_tokens():
    engine = Resumable()
    request = ask(PROMPT, max_tokens=9, sampling=EVERYTHING, top_logprobs=2, return_token_ids=True)
    for stream in (False, True):
        request = replace(request, stream=stream)
        whole = engine.run(request)
        options = {"stream": stream, "return_token_ids": True, "top_logprobs": 2}
        first, second = engine.in_two(request, 5, **options)

        assert [each.token_id for each in second.end.logprobs] == list(whole.ids[5:])
        got = [each.logprob for each in [*first.end.logprobs, *second.end.logprobs]]
        assert got == pytest.approx([each.logprob for each in whole.end.logprobs], abs=1e-3)
        streamed = [each for delta in second.deltas for each in delta.token_ids]
        assert streamed == (list(second.ids) if stream else [])


def test_a_stream_of_tokens_counts_from_the_cut():
    engine = Resumable()
    request = ask(PROMPT, speaks("abcdef"), max_tokens=6, stream=True, show_tokens=True)

    _, second = engine.in_two(request, 4, stream=True, show_tokens=True)

    deltas = [each for each in second.updates if isinstance(each, TokensDelta)]
    assert [delta.kept for delta in deltas] == [0, 1]
    assert [each.token_id for delta in deltas for each in delta.tokens] == list(second.ids)


@mod(name="forces", registered=False)
class Forces:
    """Forces five tokens after the second one, once."""

    def __init__(self):
        self.seen = []

    def added(self, event, actions):
        self.seen.append((event.step, tuple(event.added_tokens)))
        if event.step == 1:
            return actions.force_tokens(list(b"ABCDE"))


def test_tokens_that_a_mod_forced_beyond_the_budget_follow_first():
    engine = Resumable()
    request = ask(PROMPT, Forces, max_tokens=12, sampling=EVERYTHING)
    whole = engine.run(request)
    assert bytes(whole.ids[2:7]) == b"ABCDE"

    for cut in range(1, 12):
        first, second = engine.in_two(request, cut)
        assert first.ids + second.ids == whole.ids, cut
        assert first.end.forced_tokens + second.end.forced_tokens == 5
        assert first.end.forced_by + second.end.forced_by == whole.end.forced_by


def test_mods_get_the_prompt_and_the_completion_so_far_and_their_answers_are_ignored():
    events = []

    @mod(name="witness", registered=False, on=[Prefilled, Added])
    def witness(event, actions):
        events.append(event)
        if isinstance(event, Prefilled):
            return actions.report(data={"at": 0})
        if event.step == 0:
            return actions.force_tokens(list(b"Hi "))

    engine = Resumable()
    first, second = engine.in_two(ask(PROMPT, witness, max_tokens=8), 5)

    first_ids = first.ids
    assert bytes(first_ids[1:4]) == b"Hi "
    prefilled = [at for at, event in enumerate(events) if isinstance(event, Prefilled)]
    assert len(prefilled) == 2
    added = events[prefilled[1] + 1]
    assert (added.step, added.added_tokens) == (0, first_ids)
    assert events[prefilled[1] + 2].step == 5
    assert not second.end.reports
    assert second.end.forced_tokens == 0


def test_a_mod_cannot_change_the_tokens_before_the_cut():
    @mod(name="cuts", registered=False, on=[Added])
    def cuts(event, actions):
        if event.step == 4:
            return actions.backtrack(3)

    engine = Resumable()
    _, second = engine.in_two(ask(PROMPT, cuts, max_tokens=8), 4)

    assert "already streamed" in str(second.error)


def test_other_mods_are_chosen_with_the_changes():
    engine = Resumable()
    request = ask(PROMPT, speaks("abcdef"), max_tokens=6, num_named_mods=1)

    _, second = engine.in_two(request, 3, mods=(call(speaks("uvwxyz")),))

    assert second.end.text == "xyz"


@pytest.mark.parametrize("family", CACHES)
def test_a_cancelled_completion_is_resumed(family):
    engine = Resumable(family)
    request = ask(PROMPT, max_tokens=30, sampling=EVERYTHING)
    whole = engine.run(request)
    again = replace(request, request_id="again")
    submit(engine.engine, again)
    while not engine.engine.rows or engine.engine.rows[0].state.num_completion < 20:
        engine.engine.step()
    engine.engine.cancel("again")
    done = len(engine.ended.find("m", "again").forced_by)

    second = engine.run(engine.resumed(again, max_tokens=30 - done))

    assert second.ids == whole.ids[done:]
    assert second.end.prompt_tokens - second.end.cached_tokens <= 2


def test_a_completion_that_the_model_ended_is_refused():
    engine = Resumable()
    request = ask(PROMPT, speaks("ab"), max_tokens=9)
    engine = Resumable(traits=TRAITS)
    engine.run(request)

    with pytest.raises(InvalidRequestError, match="ended by 'stop'") as caught:
        engine.resumed(request)
    assert caught.value.param == "resume_from"


def test_a_completion_that_fills_the_context_is_refused():
    engine = Resumable(traits=replace(ENDLESS, context_length=len(PROMPT) + 4))
    request = ask(PROMPT, max_tokens=None)
    engine.run(request)

    with pytest.raises(ContextLengthError) as caught:
        engine.resumed(request)
    assert caught.value.param == "resume_from"


def test_requests_without_a_cut_run_beside_a_resumed_one():
    engine = Resumable()
    request = ask(PROMPT, max_tokens=12, sampling=EVERYTHING)
    other = ask("Another prompt", max_tokens=20, sampling=SamplingParams(seed=2))
    whole, alone = engine.run(request), engine.run(other)
    engine.run(part := replace(request, max_tokens=5))

    answers = run(engine.engine, engine.resumed(part, max_tokens=7), replace(other, request_id="o"))

    assert [one.ids for one in answers] == [whole.ids[5:], alone.ids]
