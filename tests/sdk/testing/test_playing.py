"""Playing a request step by step, and the two ways in which a model can be scripted."""

import pytest
from concordance_sdk import Added, ForwardPass, Sampled, mod, use
from concordance_sdk.testing import Playing, Scene, play


def force_at(event_type, text):
    @mod(name="force", on=[event_type])
    def force(event, actions):
        if event.step == 0 and not getattr(event, "forced", False):
            return actions.force_tokens(text)

    return force


@pytest.mark.parametrize("event_type", [ForwardPass, Sampled])
def test_a_model_that_goes_on_says_its_text_behind_what_was_forced(event_type):
    assert play(force_at(event_type, b"Hi "), says="you").text == "Hi you"
    assert play(force_at(event_type, b"Hi "), script="you").text == "Hi "


def test_a_model_that_goes_on_does_not_repeat_what_was_taken_back():
    @mod(on=[Added])
    def drop(event, actions):
        if event.added_tokens == tuple(b"x"):
            return actions.backtrack(1)

    assert play(drop, says="axb").text == "ab"


def test_a_model_needs_to_be_told_what_it_wants_in_one_way():
    for wanted in ({}, {"script": "a", "says": "b"}):
        with pytest.raises(TypeError, match="one of the two"):
            play(**wanted)


def test_a_function_may_say_how_much_it_wants_each_of_several_tokens():
    margins = []

    @mod(on=[ForwardPass])
    def look(event, actions):
        margins.append(event.logits.margin())

    def model(completion):
        return {ord("a"): 2.0, ord("b"): 1.5} if not completion else 256

    assert play(look, script=model).text == "a"
    assert margins == [0.5, 1.0]


def test_requests_can_be_played_in_turns():
    @mod
    class Count:
        def __init__(self):
            self.seen = 0

        def added(self, event, actions):
            self.seen += 1
            if self.seen == 3:
                return actions.force_output(b"three")

    playings = [Playing([use(Count)], Scene(script=script)) for script in ("abcde", "ab")]
    while not all(playing.is_over for playing in playings):
        for playing in playings:
            if not playing.is_over:
                playing.step()
    texts = [playing.finish().text for playing in playings]

    assert texts == ["three", "three"]


def test_every_request_has_an_id_of_its_own():
    assert play(says="").request_id != play(says="").request_id


def test_mods_may_have_parameters_of_their_own():
    @mod
    class Say:
        text: str

        def added(self, event, actions, tokenizer):
            if event.step == 0:
                return actions.force_tokens(tokenizer.encode(self.text))

    assert play(use(Say, text="1"), Say, parameters={"text": "2"}, says="ab").text == "a12b"


def test_a_step_costs_no_more_with_a_large_vocabulary(monkeypatch):
    """The row of scores is never laid out: only what differs is."""
    from concordance_sdk.testing import ByteTokenizer, ScriptedLogits

    class Large(ByteTokenizer):
        vocab_size = 200_000

    held = []
    plain = ScriptedLogits.__init__

    def init(self, *args, **options):
        plain(self, *args, **options)
        held.append(len(self._scores))

    monkeypatch.setattr(ScriptedLogits, "__init__", init)
    play(says="abc", tokenizer=Large())

    assert held == [1, 1, 1, 1]
