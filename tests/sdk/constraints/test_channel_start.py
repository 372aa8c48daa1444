"""Constraints that hold in one channel of a completion."""

import pytest
from concordance_sdk import ForwardPass, ModRaisedError, mod, use
from concordance_sdk.builtin import InjectAtStart
from concordance_sdk.constraints import ChoicesStrat, Regex, constrain
from concordance_sdk.testing import MessageTokenizer, message_channels, play, tag_channels
from concordance_shared import ConstraintError

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|channel|>final<|message|>"
NEXT = "<|end|><|start|>assistant"
VERDICT = ChoicesStrat(["yes", "no"])


def messages(*mods, **options):
    played = play(*mods, channels=message_channels(), **options)
    return MessageTokenizer().decode(played.token_ids)


def test_constraint_of_messages_holds_in_final_only():
    answer = constrain(VERDICT, channel="final")
    says = f"{ANALYSIS}so maybe{NEXT}{FINAL}no way"

    assert messages(answer, says=says).startswith(f"{ANALYSIS}so maybe{NEXT}{FINAL}no<|")


def test_constraint_of_messages_holds_in_final_by_default():
    says = f"{ANALYSIS}so{NEXT}{FINAL}yes!"

    assert messages(constrain(VERDICT), says=says).startswith(f"{ANALYSIS}so{NEXT}{FINAL}yes<|")


def test_constraint_on_the_reasoning_leaves_the_answer_free():
    digits = constrain(Regex("[0-9]{3}"), channel="analysis", ends=False)
    says = f"{ANALYSIS}123{NEXT}{FINAL}free"

    assert messages(digits, says=says, max_tokens=99).startswith(f"{ANALYSIS}123{NEXT}{FINAL}free")


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_constraint_of_tags_begins_after_the_closing_tag(opened, stream):
    begin = "" if opened else "<think>"
    answer = constrain(VERDICT, channel="final")

    played = play(
        answer, says=f"{begin}hm</think>none", channels=tag_channels(opened=opened), stream=stream
    )

    assert played.text == f"{begin}hm</think>no"


@pytest.mark.parametrize("stream", [False, True])
def test_answer_without_reasoning_is_constrained_from_its_first_token(stream):
    answer = constrain(VERDICT, channel="final")

    played = play(answer, says="xno", channels=tag_channels(), stream=stream)

    assert played.text in ("yes", "no")
    assert played.num_backtracked == 1


def test_answer_without_reasoning_that_is_allowed_is_kept():
    answer = constrain(VERDICT, channel="final")

    played = play(answer, says="yes", channels=tag_channels())

    assert (played.text, played.num_backtracked) == ("yes", 0)


def test_constraint_without_a_channel_begins_at_the_first_token_of_a_model_with_tags():
    assert play(constrain(VERDICT), says="<think>", channels=tag_channels()).text in ("yes", "no")


def test_model_without_channels_has_final_only():
    assert play(constrain(VERDICT, channel="final"), says="nay").text == "no"
    assert play(constrain(VERDICT, channel="analysis"), says="nay").text == "nay"


def test_token_that_closes_the_reasoning_and_begins_the_content_is_split():
    pieces = {300: b"</think>n"}
    channels = tag_channels()
    known = channels.token_bytes
    channels.token_bytes = lambda i: pieces.get(i) or known(i)
    tokenizer = Wide(pieces)
    answer = constrain(VERDICT, channel="final")

    script = [*b"<think>a", 300, *b"yes"]
    played = play(answer, says=script, channels=channels, tokenizer=tokenizer)

    assert tokenizer.decode(played.token_ids, skip_special_tokens=True) == "<think>a</think>yes"


class Wide(MessageTokenizer):
    """Some tokens of several bytes."""

    vocab_size = 301
    eos_token_ids = frozenset({256})

    def __init__(self, pieces):
        self.pieces = pieces

    def token_bytes(self, token_id):
        if token_id in self.pieces:
            return self.pieces[token_id]
        return super().token_bytes(token_id) if token_id < 264 else b""


def test_backtrack_before_the_channel_begins_the_constraint_again():
    @mod
    class Once:
        def __init__(self):
            self.is_done = False

        def forward_pass(self, event, actions):
            if event.channel == "final" and event.step > 17 and not self.is_done:
                self.is_done = True
                return actions.backtrack(event.step - 9)

    answer = constrain(VERDICT, channel="final")
    played = play(Once, answer, script="<think>hm</think>no", channels=tag_channels())

    assert played.text == "<think>hm</think>no"


def test_text_of_a_mod_begins_in_the_content_of_a_message():
    says = f"{ANALYSIS}so{NEXT}{FINAL} you"

    assert messages(use(InjectAtStart, text="Hi,"), says=says).startswith(
        f"{ANALYSIS}so{NEXT}{FINAL}Hi, you"
    )


def test_after_and_channel_exclude_each_other():
    with pytest.raises(ConstraintError, match="give either `after` or `channel`"):
        constrain(VERDICT, channel="final", after="x")


def test_forced_text_that_the_constraint_of_a_channel_does_not_allow_is_an_error():
    @mod(on=[ForwardPass])
    def force(event, actions, tokenizer):
        if not event.step:
            return actions.force_tokens(tokenizer.encode(f"{FINAL}bad"))

    with pytest.raises(ModRaisedError, match="bad"):
        messages(force, constrain(VERDICT, channel="final"), says="")
