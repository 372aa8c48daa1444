"""ModDispatch: the semantics of events and actions, against a scripted model."""

import pytest
from concordance_sdk import (
    Added,
    Finished,
    FinishReason,
    ForwardPass,
    InvalidActionError,
    Prefilled,
    Sampled,
    mod,
)
from concordance_sdk.testing import ByteTokenizer, play
from concordance_shared import EmittedError

EOS = 256
encode = ByteTokenizer().encode


def on(event_type, answer, *, once=True, when=lambda event: True):
    """Create a mod that returns `answer(event, actions)` for one type of event."""
    left = [1 if once else 10**9]

    @mod(name="probe", on=[event_type])
    def probe(event, actions):
        if left[0] and when(event):
            left[0] -= 1
            return answer(event, actions)

    return probe


def stop(event, actions):
    return actions.stop()


def backtrack_none(event, actions):
    return actions.backtrack(0, [EOS])


def end_text(event, actions):
    return actions.backtrack(int(event.added_tokens[-1] == EOS), [EOS])


def kinds(played):
    return [type(event).__name__ for event in played.events]


# Without mods


@pytest.mark.parametrize("ends", [stop, end_text, backtrack_none], ids=lambda ends: ends.__name__)
def test_a_mod_that_ends_the_completion_at_every_added_event_ends_it_once(ends):
    played = play(on(Added, ends, once=False), script="abc")

    assert played.token_ids == (97, EOS)
    assert played.finish_reason is FinishReason.STOP


def test_a_mod_after_one_that_ends_twice_sees_the_end_and_may_replace_it():
    ends = on(Added, stop, once=False)
    resumes = on(Added, lambda event, actions: actions.backtrack(1, encode("b")))

    played = play(ends, resumes, script="a")

    assert played.token_ids == (97, 98, EOS)


def test_script_is_sampled_to_its_end():
    played = play(script="hi")

    assert (played.text, played.finish_reason) == ("hi", FinishReason.STOP)


def test_order_of_events():
    played = play(script="a")

    assert kinds(played) == [
        "Prefilled",
        *("ForwardPass", "Sampled", "Added"),
        *("ForwardPass", "Sampled", "Added"),
        "Finished",
    ]


def test_end_of_sequence_token_is_sampled_and_added_and_has_no_text():
    played = play(script="a")

    assert played.token_ids == (97, EOS)
    assert played.events[-2] == Added(
        request_id=played.request_id, step=1, added_tokens=(EOS,), forced=False
    )


def test_spent_budget_ends_with_length():
    played = play(script="abcdef", max_tokens=3)

    assert (played.text, played.finish_reason) == ("abc", FinishReason.LENGTH)


def test_end_of_sequence_token_at_the_last_position_is_a_stop():
    assert play(script="ab", max_tokens=3).finish_reason is FinishReason.STOP


def test_decode_processes_one_token_per_pass():
    assert play(script="abc", prompt="Q").reads == ((81,), (97,), (98,), (99,))


# ForceTokens


@pytest.mark.parametrize("event_type", [ForwardPass, Sampled])
def test_forced_tokens_replace_the_sampled_token(event_type):
    greet = on(event_type, lambda event, actions: actions.force_tokens(encode("Hi ")))

    assert play(greet, script="xxxyou").text == "Hi you"


def test_forced_tokens_follow_those_just_added():
    more = on(Added, lambda event, actions: actions.force_tokens(encode("bc")))

    assert play(more, script="axxd").text == "abcd"


def test_forced_tokens_are_processed_in_one_pass():
    greet = on(ForwardPass, lambda event, actions: actions.force_tokens(encode("Hello ")))
    played = play(greet, script="xxxxxxA", prompt="Q")

    assert played.reads == (tuple(b"Q"), tuple(b"Hello "), tuple(b"A"))


def test_forced_tokens_dispatch_one_added_and_no_sampled():
    greet = on(ForwardPass, lambda event, actions: actions.force_tokens(encode("Hi")))
    played = play(greet, script="xx")
    events = played.events

    assert kinds(play(greet, script=""))[:2] == ["Prefilled", "ForwardPass"]
    assert [type(e) for e in events[:3]] == [Prefilled, ForwardPass, Added]
    assert events[2] == Added(
        request_id=played.request_id, step=0, added_tokens=(72, 105), forced=True
    )
    assert events[3].step == 2


def test_mod_can_act_on_added_of_forced_tokens():
    chain = on(Added, lambda e, a: a.force_tokens(b"!"), once=False, when=lambda e: e.step < 3)

    assert play(chain, script="abcdef").text == "a!!!ef"


def test_forced_tokens_beyond_the_budget_are_dropped():
    long = on(ForwardPass, lambda event, actions: actions.force_tokens(encode("abcdef")))
    played = play(long, script="", max_tokens=4)

    assert (played.text, played.finish_reason) == ("abcd", FinishReason.LENGTH)


def test_forcing_after_a_spent_budget_ends_with_length():
    more = on(Added, lambda e, a: a.force_tokens(b"!"), when=lambda e: e.step == 1)
    played = play(more, script="abcdef", max_tokens=2)

    assert (played.text, played.finish_reason) == ("ab", FinishReason.LENGTH)


def test_forced_tokens_are_counted():
    greet = on(ForwardPass, lambda event, actions: actions.force_tokens(encode("Hi ")))

    assert play(greet, script="xxxyou").num_forced == 3


def test_forcing_no_tokens_is_a_noop():
    nothing = on(Sampled, lambda event, actions: actions.force_tokens([]), once=False)

    assert play(nothing, script="ab").text == "ab"


# The end token


def test_forced_tokens_after_an_end_of_sequence_token_are_dropped():
    end = on(ForwardPass, lambda event, actions: actions.force_tokens(encode("ok<eos>never")))
    played = play(end, script="xxxxxx")

    assert (played.text, played.finish_reason) == ("ok", FinishReason.STOP)
    assert played.token_ids == (*b"ok", EOS)


def test_replacing_a_sampled_end_of_sequence_token_continues_the_request():
    go_on = on(Sampled, lambda e, a: a.force_tokens(b"!"), when=lambda e: e.sampled_token == EOS)

    assert play(go_on, script=[97, EOS, 98]).text == "a!b"


def test_backtracking_over_an_end_of_sequence_token_continues_the_request():
    again = on(Added, lambda e, a: a.backtrack(1, b"!"), when=lambda e: EOS in e.added_tokens)
    played = play(again, script=[97, EOS, 98])

    assert (played.text, played.token_ids) == ("a!b", (*b"a!b", EOS))


def test_forcing_after_an_end_of_sequence_token_continues_the_request():
    more = on(Added, lambda e, a: a.force_tokens(b"!"), when=lambda e: EOS in e.added_tokens)
    played = play(more, script=[97, EOS, 120, 98])

    assert (played.text, played.token_ids) == ("a!b", (97, EOS, 33, 98, EOS))


# Backtrack


def test_backtrack_at_added_counts_the_tokens_just_added():
    fix = on(Added, lambda e, a: a.backtrack(3, b"dog"), when=lambda e: e.step == 4)
    played = play(fix, script="a cat!", prompt="Q")

    assert played.text == "a dog!"
    assert [bytes(r) for r in played.reads] == [b"Q", b"a", b" ", b"c", b"a", b"dog", b"!"]


def test_backtrack_at_sampled_drops_the_sampled_token_uncounted():
    fix = on(Sampled, lambda e, a: a.backtrack(1, b"X"), when=lambda e: e.step == 2)

    assert play(fix, script="abcd").text == "aXcd"


def test_backtrack_at_forward_pass_removes_added_tokens():
    fix = on(ForwardPass, lambda e, a: a.backtrack(2, b"XY"), when=lambda e: e.step == 2)

    assert play(fix, script="abcd").text == "XYcd"


def test_backtrack_without_tokens_samples_the_position_again():
    seen = []

    def script(completion):
        seen.append(bytes(completion))
        return b"abc"[len(completion)] if len(completion) < 3 else EOS

    redo = on(Added, lambda e, a: a.backtrack(2), when=lambda e: e.step == 1)
    played = play(redo, script=script)

    assert played.text == "abc"
    assert seen == [b"", b"a", b"", b"a", b"ab", b"abc"]


def test_backtrack_over_the_whole_completion():
    fix = on(Added, lambda e, a: a.backtrack(3, b"Z"), when=lambda e: e.step == 2)

    assert play(fix, script="abc").text == "Zbc"


def test_backtrack_beyond_the_completion_is_a_mod_error():
    too_far = on(Added, lambda e, a: a.backtrack(3), when=lambda e: e.step == 1)

    with pytest.raises(InvalidActionError, match=r"'probe' backtracked 3 tokens.*only 2.*Added"):
        play(too_far, script="abc")


def test_backtracked_tokens_do_not_count_in_the_budget():
    fix = on(Added, lambda e, a: a.backtrack(2, b"Z"), when=lambda e: e.step == 2)
    played = play(fix, script="abcdefgh", max_tokens=4)

    assert (played.text, played.num_backtracked, played.num_forced) == ("aZcd", 2, 1)


def test_step_after_backtrack_is_the_new_length_of_the_completion():
    redo = on(Added, lambda e, a: a.backtrack(2), when=lambda e: e.step == 2)
    events = play(redo, script="abc").events

    assert [e.step for e in events if type(e) is ForwardPass] == [0, 1, 2, 1, 2, 3]


# ForceOutput, ToolCalls, EmitError


@pytest.mark.parametrize("event_type", [Prefilled, ForwardPass, Sampled, Added])
def test_force_output_sets_the_completion(event_type):
    say = on(event_type, lambda e, a: a.force_output(b"No."))
    played = play(say, script="abcdef")

    assert (played.text, played.finish_reason) == ("No.", FinishReason.STOP)
    assert type(played.events[-1]) is Finished


def test_force_output_replaces_the_completion_regardless_of_the_budget():
    say = on(Added, lambda e, a: a.force_output(b"Never mind."), when=lambda e: e.step == 2)

    assert play(say, script="abcdef", max_tokens=4).text == "Never mind."


def test_empty_forced_output_is_an_empty_completion():
    assert play(on(Sampled, lambda e, a: a.force_output([])), script="abc").text == ""


@pytest.mark.parametrize("event_type", [Prefilled, ForwardPass, Sampled, Added])
def test_tool_calls_end_the_completion(event_type):
    call = {"name": "look_up", "arguments": {"city": "Paris"}}
    played = play(on(event_type, lambda e, a: a.tool_calls(call)), script="abc")

    assert played.finish_reason is FinishReason.TOOL_CALLS
    assert played.tool_calls[0].function.arguments == '{"city":"Paris"}'


@pytest.mark.parametrize("event_type", [Prefilled, ForwardPass, Sampled, Added])
def test_emit_error_ends_the_request_with_its_message(event_type):
    with pytest.raises(EmittedError) as caught:
        play(on(event_type, lambda e, a: a.emit_error("not today")), script="abc")

    assert (caught.value.message, caught.value.mod) == ("not today", "probe")


# Prefilled


def test_adjust_prefill_replaces_the_prompt():
    swap = on(Prefilled, lambda e, a: a.adjust_prefill(b"other"))
    played = play(swap, script="a", prompt="Q")

    assert bytes(played.prompt_ids) == b"other"
    assert bytes(played.reads[0]) == b"other"


def test_max_steps_caps_the_completion():
    cap = on(Prefilled, lambda e, a: a.adjust_prefill(e.context_info.tokens, max_steps=2))

    assert play(cap, script="abcd").text == "ab"


def test_max_steps_does_not_raise_the_budget():
    cap = on(Prefilled, lambda e, a: a.adjust_prefill(e.context_info.tokens, max_steps=99))

    assert play(cap, script="abcd", max_tokens=3).text == "abc"


def test_prompt_adjustments_compose_in_order():
    def adding(text):
        return on(Prefilled, lambda e, a: a.adjust_prefill([*e.context_info.tokens, *text]))

    assert bytes(play(adding(b"1"), adding(b"2"), script="", prompt="Q").prompt_ids) == b"Q12"


def test_prefilled_has_the_budget_and_the_prompt():
    event = play(script="", prompt="Qu", max_tokens=7).events[0]

    assert (event.max_steps, event.context_info.tokens, event.context_info.prompt_len) == (
        7,
        (81, 117),
        2,
    )


# AdjustedLogits


@pytest.mark.parametrize(
    ("adjustment", "first"),
    [
        ({"allow": [98, 99]}, "b"),
        ({"ban": [97]}, "\0"),
        ({"bias": {99: 2.0}}, "c"),
        ({"mask": bytes(12) + b"\x10" + bytes(20)}, "d"),  # bit 100
        ({"logits": [float(i == 101) for i in range(257)]}, "e"),
        ({"bias": {97: -float("inf")}, "allow": [97, 102]}, "f"),
    ],
)
def test_adjusted_logits_change_the_sampled_token(adjustment, first):
    adjust = on(ForwardPass, lambda e, a: a.adjust_logits(**adjustment))

    assert play(adjust, script="a", max_tokens=1).text == first


def test_logit_adjustments_compose_and_each_mod_sees_the_result_so_far():
    seen = []

    @mod(on=[ForwardPass])
    def first(event, actions):
        return actions.adjust_logits(bias={98: 5.0})

    @mod(on=[ForwardPass])
    def second(event, actions):
        seen.append(event.logits[98])
        return actions.adjust_logits(ban=[98])

    assert play(first, second, script="a", max_tokens=1).text == "a"
    assert seen == [5.0]


@pytest.mark.parametrize("row", [[float("nan")] * 257, [float("inf")] * 257, [-float("inf")] * 257])
def test_logits_without_a_finite_value_are_a_mod_error(row):
    with pytest.raises(InvalidActionError, match="'probe' returned AdjustedLogits"):
        play(on(ForwardPass, lambda e, a: a.adjust_logits(logits=row)), script="a")


def test_second_of_two_adjustments_that_leave_no_token_is_at_fault():
    @mod(on=[ForwardPass])
    def first(event, actions):
        return actions.adjust_logits(allow=[97])

    @mod(on=[ForwardPass])
    def second(event, actions):
        return actions.adjust_logits(ban=[97])

    with pytest.raises(InvalidActionError, match="'second'.*no token is left"):
        play(first, second, script="a")


# Several mods


def test_mods_after_the_first_decision_are_skipped_for_the_event():
    notified = []

    @mod(on=[Sampled])
    def first(event, actions):
        if event.step == 0:
            return actions.force_tokens(b"A")

    @mod(on=[Sampled, Added])
    def second(event, actions):
        notified.append((type(event).__name__, event.step))

    play(first, second, script="xb")

    assert notified == [
        ("Added", 0),
        ("Sampled", 1),
        ("Added", 1),
        ("Sampled", 2),
        ("Added", 2),
    ]


def added_log(log):
    return [(name, event.step, bytes(event.added_tokens), event.forced) for name, event in log]


def test_mod_skipped_for_one_added_gets_its_tokens_in_the_next():
    """The example of `ModDispatch._dispatch_added`."""
    log = []

    @mod(on=[Added])
    def first(event, actions):
        log.append(("first", event))
        if event.added_tokens == tuple(b"c"):
            return actions.force_tokens(b"d")

    @mod(on=[Added])
    def second(event, actions):
        log.append(("second", event))

    play(first, second, script="abc", max_tokens=4)

    assert added_log(log)[4:] == [
        ("first", 2, b"c", False),
        ("first", 3, b"d", True),
        ("second", 2, b"cd", True),
    ]


def test_mod_that_has_not_seen_a_token_is_notified_after_a_backtrack_that_appends_nothing():
    log = []

    @mod(on=[Added])
    def first(event, actions):
        log.append(("first", event))
        if event.added_tokens == tuple(b"c"):
            return actions.force_tokens(b"d")
        if event.added_tokens == tuple(b"d"):
            return actions.backtrack(1)

    @mod(on=[Added])
    def second(event, actions):
        log.append(("second", event))

    play(first, second, script="abc!", max_tokens=4)

    assert added_log(log)[4:7] == [
        ("first", 2, b"c", False),
        ("first", 3, b"d", True),
        ("second", 2, b"c", False),
    ]


# Streams


def late(max_backtrack):
    @mod(name="late", max_backtrack=max_backtrack, on=[Added])
    def late(event, actions):
        if event.added_tokens == (102,) and event.step == 5:
            return actions.backtrack(4, b"!def")

    return late


def test_backtrack_over_streamed_tokens_is_a_mod_error_that_names_max_backtrack():
    with pytest.raises(InvalidActionError, match=r"max_backtrack=2.*@mod\(max_backtrack"):
        play(late(2), script="abcdefgh", stream=True)


def test_max_backtrack_does_not_apply_without_a_stream():
    assert play(late(2), script="abcdefgh").text == "ab!defgh"


def test_stream_allows_backtrack_up_to_max_backtrack():
    assert play(late(3), script="abcdefgh", stream=True).text == "ab!defgh"


def test_forced_output_must_keep_streamed_tokens():
    def say(text):
        @mod(name="say", max_backtrack=2, on=[Added])
        def say(event, actions):
            if event.step == 5:
                return actions.force_output(text)

        return say

    assert play(say(b"abc..."), script="abcdefgh", stream=True).text == "abc..."
    with pytest.raises(InvalidActionError, match="already streamed"):
        play(say(b"no"), script="abcdefgh", stream=True)


# Finished


def test_finished_is_dispatched_once_even_after_an_error():
    seen = []

    @mod(on=[Finished])
    def last(event, actions):
        seen.append((event.step, event.finish_reason))

    boom = on(Sampled, lambda e, a: 1 / 0)
    play(last, script="ab")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        play(last, boom, script="ab")

    assert seen == [(3, FinishReason.STOP), (0, FinishReason.ERROR)]


def test_finished_is_dispatched_to_mods_after_one_that_raises():
    seen = []

    @mod(on=[Finished])
    def bad(event, actions):
        raise RuntimeError("late")

    @mod(on=[Finished])
    def good(event, actions):
        seen.append(event)

    with pytest.raises(Exception, match="'bad' raised RuntimeError"):
        play(bad, good, script="ab")

    assert len(seen) == 1


# Every request ends


def test_backtrack_zero_at_the_end_of_the_budget_ends_with_length():
    nothing = on(Added, lambda event, actions: actions.backtrack(0), once=False)
    played = play(nothing, script="abcdef", max_tokens=3)

    assert (played.text, played.finish_reason) == ("abc", FinishReason.LENGTH)


def test_two_mods_that_backtrack_zero_at_the_end_of_the_budget_end_with_length():
    mods = [on(Added, lambda event, actions: actions.backtrack(0), once=False) for _ in range(2)]

    assert play(*mods, script="abcdef", max_tokens=3).finish_reason is FinishReason.LENGTH


def test_backtrack_zero_at_an_end_of_sequence_token_ends_with_stop():
    nothing = on(Added, lambda event, actions: actions.backtrack(0), once=False)

    assert play(nothing, script="ab").finish_reason is FinishReason.STOP


def test_an_end_of_sequence_token_of_the_prompt_ends_nothing():
    nothing = on(ForwardPass, lambda event, actions: actions.backtrack(0))

    assert play(nothing, prompt="<eos>", script="ab").text == "ab"


def test_backtracking_to_an_end_of_sequence_token_ends_with_stop():
    def meddle(event, actions):
        if event.added_tokens == (EOS,):
            return actions.force_tokens(encode("more"))
        if event.added_tokens == tuple(encode("more")):
            return actions.backtrack(4)

    assert play(on(Added, meddle, once=False), script="ab").finish_reason is FinishReason.STOP


@pytest.mark.parametrize("event_type", [Prefilled, ForwardPass, Sampled, Added])
def test_a_forced_output_longer_than_the_context_is_refused(event_type):
    with pytest.raises(InvalidActionError, match="context of 131072 tokens has room for 131071"):
        play(on(event_type, lambda _, actions: actions.force_output(bytes(131_072))), script="a")


def test_a_forced_output_may_fill_the_context():
    played = play(on(Prefilled, lambda _, actions: actions.force_output(bytes(131_071))), says="")

    assert len(played.token_ids) == 131_071


def test_dropped_tokens_of_a_forced_output_do_not_count_in_the_context():
    tokens = [*b"ab", EOS, *bytes(131_072)]
    played = play(on(Prefilled, lambda _, actions: actions.force_output(tokens)), says="")

    assert len(played.token_ids) == 3
