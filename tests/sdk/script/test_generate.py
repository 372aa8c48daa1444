import math

import pytest
from concordance_sdk import ForwardPass, mod
from concordance_sdk.constraints import ChoicesStrat, JsonSchema, Regex
from concordance_sdk.request_context import current_request
from concordance_sdk.script import EndedBy
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError


def run_of(says, *, before="", after="|", stream=False, **options):
    """Play a script of one step; return the result of the step and of the request."""
    results = []

    @mod
    def script(run):
        if before:
            yield run.force(before)
        results.append((yield run.generate(**options)))
        if after:
            yield run.force(after)

    played = play(script, says=says, stream=stream)
    return results[0], played


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("options", "text", "whole", "ended_by"),
    [
        ({}, "One. Two.", "One. Two.|", EndedBy.MODEL),
        ({"until": ". "}, "One", "One|Two.", EndedBy.UNTIL),
        ({"until": ". ", "keeps_until": True}, "One. ", "One. |Two.", EndedBy.UNTIL),
        ({"until": ["x", "ne"]}, "O", "O|. Two.", EndedBy.UNTIL),
        ({"until": "O"}, "", "|One. Two.", EndedBy.UNTIL),
        ({"until": "One", "keeps_until": True}, "One", "One|. Two.", EndedBy.UNTIL),
        ({"until": "zz"}, "One. Two.", "One. Two.|", EndedBy.MODEL),
        ({"until": lambda text: text.endswith("T")}, "One. T", "One. T|wo.", EndedBy.UNTIL),
        ({"tokens": 0}, "", "|One. Two.", EndedBy.TOKENS),
        ({"tokens": 3}, "One", "One|. Two.", EndedBy.TOKENS),
        ({"tokens": 99}, "One. Two.", "One. Two.|", EndedBy.MODEL),
        ({"sentences": 1}, "One.", "One.|Two.", EndedBy.SENTENCES),
        ({"sentences": 2}, "One. Two.", "One. Two.|", EndedBy.MODEL),
        ({"sentences": 1, "tokens": 2}, "On", "On|e. Two.", EndedBy.TOKENS),
    ],
)
def test_step_ends_at_its_condition(options, text, whole, ended_by, stream):
    result, played = run_of("One. Two.", stream=stream, **options)
    assert (result, result.ended_by) == (text, ended_by)
    assert bytes(result.token_ids).decode() == text
    assert played.text.startswith(whole[: len(text) + 1])


@pytest.mark.parametrize(
    ("options", "held"),
    [
        ({}, None),
        ({"tokens": 5}, None),
        ({"until": "#"}, 0),
        ({"until": ["###", "x"]}, 2),
        ({"until": lambda text: "#" in text}, None),
    ],
)
def test_stream_holds_back_only_what_may_begin_a_text_of_until(options, held):
    seen = []

    @mod(on=[ForwardPass])
    def watch(event, actions):
        first = current_request().holds.first()
        seen.append(None if first is None else event.step - first)

    @mod
    def script(run):
        yield run.generate(**options)

    play(watch, script, says="abcdéf.")
    assert seen[4] == held


@pytest.mark.parametrize("until", ["é", "é!", "d", "dé", "éé"])
def test_stream_shows_nothing_of_a_text_of_until_with_characters_of_several_tokens(until):
    result, played = run_of("abcdéé!", until=until, stream=True)
    assert (result, played.text[: len(result) + 1]) == ("abcdéé!".partition(until)[0], f"{result}|")


@pytest.mark.parametrize("stream", [False, True])
def test_until_removes_no_part_of_a_character_that_an_earlier_step_wrote(stream):
    results = []

    @mod
    def script(run):
        results.append((yield run.generate(tokens=2)))
        results.append((yield run.generate(until="é")))
        results.append((yield run.force("|")))
        yield run.stop()

    played = play(script, says="aéxyz", stream=stream)
    assert sum((result.token_ids for result in results), ()) == played.token_ids[:-1]


def test_text_of_earlier_steps_does_not_meet_the_condition():
    for options in ({"until": "ab"}, {"sentences": 1}, {"ban": ["ab"]}):
        result, _ = run_of("cd. ab e", before="ab. ab. ", **options)
        assert result.startswith("cd"), options


def test_phrase_that_begins_in_an_earlier_step_does_not_meet_the_condition():
    result, _ = run_of("bcab", before="a", until="ab")
    assert result == "bc"


def test_step_is_full_at_the_budget_and_the_script_may_go_back():
    ended = []

    @mod
    def script(run):
        start = run.mark()
        ended.append((yield run.generate()).ended_by)
        yield run.rewind(start)
        yield run.force("ok")
        yield run.stop()

    assert play(script, says="abcdef", max_tokens=4).text == "ok"
    assert ended == [EndedBy.LENGTH]


def test_constraint_holds_for_the_step_only_and_its_value_is_the_result():
    result, played = run_of("7<eos>free", constraint=JsonSchema({"type": "integer"}))
    assert (result, result.value, played.text) == ("7", 7, "7|free")


def test_constraint_that_a_text_completes_ends_the_step_there():
    result, played = run_of("y free", constraint=ChoicesStrat(["yes", "no"]))
    assert (result, result.value, result.ended_by) == ("yes", "yes", EndedBy.CONSTRAINT)
    assert played.text == "yes| free"


@pytest.mark.parametrize("tokens", range(1, 12))
def test_constrained_text_that_is_forced_at_once_has_no_more_than_the_number_of_tokens(tokens):
    result, _ = run_of("a", constraint=ChoicesStrat(["abba abba", "no"]), tokens=tokens)
    whole = EndedBy.CONSTRAINT if tokens >= len("abba abba") else EndedBy.TOKENS
    assert (result, result.ended_by) == ("abba abba"[:tokens], whole)


def test_constraint_that_the_model_ends_leaves_the_request_running():
    result, played = run_of("12<eos>more", constraint=Regex("[0-9]*"))
    assert (result, played.text) == ("12", "12|more")


def test_temperature_bias_and_ban_apply_to_the_step_only():
    seen = []

    @mod(on=[ForwardPass])
    def watch(event, actions):
        seen.append((event.step, event.logits[ord("a")], event.logits[ord("b")]))

    @mod
    def script(run):
        yield run.generate(tokens=1, bias={ord("a"): 2.0, "b": 1.5})
        yield run.generate(tokens=1)

    play(script, watch, says="xyz")
    assert seen[0][1:] == (2.0, 1.5)
    assert seen[1][1:] == (0.0, 0.0)


def test_temperature_is_that_of_the_steps_tokens():
    temperatures = []

    @mod
    def script(run):
        yield run.generate(tokens=2, temperature=0.25)
        yield run.generate(tokens=1)

    from concordance_sdk.host import definition_of
    from concordance_sdk.host.instance import InProcessMod
    from concordance_sdk.testing import ByteTokenizer

    instance = InProcessMod(definition_of(script), {}, tokenizer=ByteTokenizer())
    asked = instance.ask

    def ask(event):
        action = asked(event)
        if isinstance(event, ForwardPass):
            temperatures.append(getattr(action, "token_temp", None))
        return action

    instance.ask = ask
    from concordance_sdk.host.dispatch import ModDispatch
    from concordance_sdk.host.request_state import RequestState
    from concordance_sdk.testing import ScriptedLogits

    state = RequestState("r", [1], max_tokens=9, eos_ids={256})
    dispatch = ModDispatch(state, [instance], vocab_size=257)
    dispatch.prefilled()
    for _ in range(3):
        dispatch.forward_pass(ScriptedLogits({97: 1.0}, vocab_size=257))
        dispatch.sampled(97)
    assert temperatures == [0.25, 0.25, None]


def test_banned_phrase_does_not_appear_in_the_step_but_may_after_it():
    result, played = run_of("a cat bcat<eos>", ban=["cat"], tokens=6)
    assert "a cat" not in result
    assert "cat" in played.text


def test_several_conditions_and_changes_hold_together():
    result, _ = run_of(
        "12a", constraint=Regex("[a-z]+[0-9]"), bias={"q": 5.0}, ban=["zz"], tokens=4
    )
    assert result.isalnum()
    assert len(result) <= 4


def test_logprobs_are_those_of_the_sampled_tokens():
    result, _ = run_of("12", constraint=Regex("x[0-9]y[0-9]"), logprobs=True)
    assert result == "x1y2"
    kinds = [logprob is None for logprob in result.logprobs]
    assert kinds == [True, False, True, False]
    assert all(logprob is None or logprob <= 0 for logprob in result.logprobs)


def test_logprobs_are_those_before_the_bias_the_temperature_the_ban_and_the_constraint():
    changes = {"bias": {"b": 9.0}, "ban": ["a"], "temperature": 0.1, "constraint": Regex("[bc]")}
    result, _ = run_of(lambda completion: {97: 3.0, 98: 2.0, 99: 1.0}, logprobs=True, **changes)
    total = math.e**3 + math.e**2 + math.e + 254  # the logits of the other tokens are 0

    assert result == "b"
    assert result.logprobs == pytest.approx([2.0 - math.log(total)])


def test_value_is_the_text_where_the_budget_cut_a_constrained_text():
    results = []

    @mod
    def script(run):
        results.append((yield run.generate(constraint=JsonSchema({"type": "object"}))))

    play(script, says='{"a": 12345678}', max_tokens=8)

    assert results[0].ended_by == EndedBy.LENGTH
    assert results[0].value == str(results[0])


def test_logprobs_follow_a_backtrack_of_another_mod():

    @mod(max_backtrack=None)
    class Once:
        def __init__(self):
            self.done = False

        def added(self, event, actions):
            if event.step == 3 and not self.done:
                self.done = True
                return actions.backtrack(2, b"Z")

    results = []

    @mod
    def script(run):
        results.append((yield run.generate(logprobs=True)))

    play(script, Once, says="abcdef")
    assert results[0] == "abZef"
    assert [logprob is None for logprob in results[0].logprobs] == [
        False,
        False,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"until": 3}, "`until` takes a text"),
        ({"until": ""}, "not empty"),
        ({"ban": [3]}, "`ban` takes a text"),
        ({"tokens": -1}, "at least 0"),
        ({"tokens": "3"}, "a number"),
        ({"sentences": 0}, "at least 1"),
        ({"constraint": "yes"}, "must be a constraint, not 'yes'"),
        ({"constraint": ["yes", "no"]}, "ChoicesStrat"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": -1.0}, "temperature"),
        ({"bias": {"a": "x"}}, "bias"),
        ({"bias": [1]}, "bias"),
        ({"bias": {999: 1.0}}, "vocabulary"),
    ],
)
def test_wrong_arguments_are_errors_that_name_them(options, expected):
    with pytest.raises(Exception, match=expected) as caught:
        run_of("abc", **options)
    assert isinstance(caught.value, ModRaisedError) or "AdjustedLogits" in str(caught.value)


def test_characters_of_several_tokens_are_whole_in_the_text():
    result, _ = run_of("añ€😀b", until="😀")
    assert result == "añ€"
    result, _ = run_of("añ€😀b", tokens=2)
    assert result.token_ids == tuple("añ".encode()[:2])


def test_text_that_the_completion_begins_with_ends_the_step():
    result, played = run_of("#and more", until="#")
    assert (result, result.ended_by) == ("", EndedBy.UNTIL)
    assert played.text == "|and more"


def test_temperature_and_bias_may_be_functions_of_the_logits():
    entropies = []

    def cooler(logits):
        entropies.append(logits.entropy())
        return 0.2 if logits.entropy() > 1 else None

    result, _ = run_of(
        "ab", tokens=2, temperature=cooler, bias=lambda logits: {logits.top_k(1)[0][0] + 1: 5.0}
    )
    assert result == "bc"
    assert len(entropies) == 2


def test_bias_may_be_an_array():
    import numpy as np

    bias = np.zeros(257, np.float32)
    bias[ord("z")] = 9.0
    result, _ = run_of("ab", tokens=2, bias=bias)
    assert result == "zz"
    result, _ = run_of("ab", tokens=2, bias=lambda _: {})
    assert result == "ab"


def test_function_that_returns_no_bias_or_temperature_is_an_error_at_the_position():
    with pytest.raises(Exception, match="AdjustedLogits.bias"):
        run_of("ab", bias=lambda _: "much")
    with pytest.raises(Exception, match="AdjustedLogits.token_temp"):
        run_of("ab", temperature=lambda _: "hot")
