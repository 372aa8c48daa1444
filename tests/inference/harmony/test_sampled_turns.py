"""The prompts of a conversation extend each other token by token, as far as reasoning allows."""

import itertools
import json

import msgspec
import o200k
import pytest
from concordance_inference.chat.message_parts import ReadMessage
from concordance_inference.generation import Completed, GenerationRequest
from concordance_inference.harmony import format as module
from concordance_inference.harmony.encoding import TOKENS
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.harmony.sampled_turns import Position, SampledTurn, SampledTurns
from concordance_inference.harmony.turn import turn_after
from concordance_inference.models.tokenizer import ModelTokenizer
from concordance_shared import (
    Conversation,
    FinishReason,
    FunctionCall,
    FunctionSchema,
    Message,
    Tool,
    ToolCall,
)
from transformers import PreTrainedTokenizerFast

TOOLS = (Tool(function=FunctionSchema(name="look_up", parameters={"type": "object"})),)
SYSTEM = Message(role="system", content="Be brief.")


@pytest.fixture(name="tokenizer", scope="module")
def _tokenizer():
    hf = PreTrainedTokenizerFast(tokenizer_file=str(o200k.tokenizer_json()))
    return ModelTokenizer(hf, eos_token_ids=[200002], vocab_size=o200k.VOCAB_SIZE)


class Chatting:
    """A client and a model that samples what it is given."""

    def __init__(self, tokenizer, monkeypatch):
        self.tokenizer = tokenizer
        self.chat = HarmonyFormat(tokenizer, TOKENS)
        self.messages = [SYSTEM]
        self.cached = []  # what the KV cache of the last request has
        self._monkeypatch = monkeypatch

    def says(self, role, text, **fields):
        self.messages.append(Message(role=role, content=text, **fields))

    def odd(self, text):
        """A text as the tokens of its characters."""
        return [i for char in text for i in self.tokenizer.encode_prompt(char)]

    def prompt(self):
        return self.chat.render(self.messages, TOOLS)

    def answers(self, *pieces, read, keeps_reasoning=True, **completed):
        """Sample; names of control tokens are tokens, other texts characters.

        Returns the number of tokens of the prompt that the cache has, and of the prompt.
        """
        prompt = self.prompt()
        same = zip(prompt, self.cached, strict=False)
        num_same = next((i for i, (a, b) in enumerate(same) if a != b),
                        min(len(prompt), len(self.cached)))  # fmt: skip
        ids = []
        for piece in pieces:
            is_token = piece.startswith("<|") or piece == "assistant"
            ids += self.tokenizer.encode_prompt(piece) if is_token else self.odd(piece)
        request = GenerationRequest(
            request_id="r", prompt_ids=tuple(prompt),
            conversation=Conversation(messages=tuple(self.messages)),
            harmony=turn_after(prompt, TOKENS, self.tokenizer.token_bytes),
        )  # fmt: skip
        fields = {"text": "", "token_ids": tuple(ids), "finish_reason": FinishReason.STOP,
                  "prompt_tokens": len(prompt), "completion_tokens": len(ids)}  # fmt: skip
        self._monkeypatch.setattr(module, "read_message", lambda *_: read)
        self.chat.remember(request, Completed(**fields | completed))
        self.cached = [*prompt, *ids[:-1]]
        self.says("assistant", read.content, tool_calls=read.tool_calls or None,
                  reasoning_content=read.reasoning if keeps_reasoning else None)  # fmt: skip
        return num_same, len(prompt)


@pytest.fixture(name="chatting")
def _chatting(tokenizer, monkeypatch):
    return Chatting(tokenizer, monkeypatch)


def called(arguments, call_id="c"):
    return ToolCall(id=call_id, function=FunctionCall(name="look_up", arguments=arguments))


def one_turn(chatting, i, **options):
    """A turn with two calls and an answer; how much of each prompt was there, and its length."""
    found = []
    chatting.says("user", f"Question {i}?")
    for j, kind in enumerate([(" ", "<|constrain|>", "json"), (" code",)]):
        arguments = json.dumps({"word": f"tide {i}"})
        found.append(
            chatting.answers(
                "<|channel|>", "analysis", "<|message|>", f"Hm {i}.", "<|end|>", "<|start|>",
                "assistant", "<|channel|>", "commentary to=functions.look_up", *kind, "<|message|>",
                arguments, "<|call|>",
                read=ReadMessage(reasoning=f"Hm {i}.", tool_calls=(called(arguments, f"{i}{j}"),)),
                **options,
            )
        )  # fmt: skip
        chatting.says("tool", "found", tool_call_id=f"{i}{j}")
    found.append(
        chatting.answers(
            "<|channel|>", "analysis", "<|message|>", "Now.", "<|end|>", "<|start|>", "assistant",
            "<|channel|>", "final", "<|message|>", f"Answer {i}.", "<|return|>",
            read=ReadMessage(reasoning="Now.", content=f"Answer {i}."), **options,
        )
    )  # fmt: skip
    return found


def test_prompts_of_ten_turns_with_tools_extend_the_cached_ones(chatting):
    previous = None
    for i in range(10):
        first, *others = one_turn(chatting, i)
        for num_same, length in others:  # all that was sampled is in place
            assert length - num_same < 20  # the call's end, the result, and the next header
        if previous:  # the reasoning of the last turn is dropped, from its first message on
            assert first[0] >= previous[0][1]
        previous = [first, *others]


def test_dropped_reasoning_leaves_the_prompt_before_it_as_it_was(chatting):
    prompts = []
    for i in range(10):
        chatting.says("user", f"Question {i}?")
        prompts.append(chatting.prompt())
        chatting.messages.pop()
        one_turn(chatting, i)
    for before, after in itertools.pairwise(prompts):
        assert after[: len(before)] == before


def test_calls_are_kept_as_sampled_although_reasoning_is_not_returned(chatting):
    one_turn(chatting, 0, keeps_reasoning=False)
    chatting.says("user", "And?")
    text = chatting.chat.decode(chatting.prompt())
    assert "<|channel|>commentary to=functions.look_up <|constrain|>json<|message|>" in text
    assert "<|channel|>commentary to=functions.look_up code<|message|>" in text
    assert "analysis<|message|>" not in text


def test_arguments_with_other_spaces_are_those_that_were_sampled(chatting):
    one_turn(chatting, 0)
    calls = (called('{"word":"tide 0"}', "00"),)
    chatting.messages[2] = msgspec.structs.replace(chatting.messages[2], tool_calls=calls)
    text = chatting.chat.decode(chatting.prompt())
    assert text.count('{"word": "tide 0"}') == 2


def test_messages_that_the_client_changed_are_rendered_from_their_text(chatting):
    one_turn(chatting, 0)
    changed = msgspec.structs.replace(chatting.messages[-1], content="Changed.")
    chatting.messages[-1] = changed
    fresh = HarmonyFormat(chatting.tokenizer, TOKENS)
    assert chatting.prompt()[-5:] == fresh.render(chatting.messages, TOOLS)[-5:]
    assert "final<|message|>Changed.<|end|>" in chatting.chat.decode(chatting.prompt())


def test_changed_reasoning_is_rendered_from_its_text(chatting):
    one_turn(chatting, 0)
    del chatting.messages[3:]
    chatting.messages[2] = msgspec.structs.replace(chatting.messages[2], reasoning_content="Other.")
    chatting.says("tool", "found", tool_call_id="00")
    text = chatting.chat.decode(chatting.prompt())
    assert "analysis<|message|>Other.<|end|><|start|>assistant<|channel|>commentary to=" in text


def test_the_same_message_after_another_one_is_not_the_sampled_one(chatting):
    one_turn(chatting, 0)
    chatting.messages[1] = Message(role="user", content="Another question?")
    assert chatting.prompt() == HarmonyFormat(chatting.tokenizer, TOKENS).render(
        chatting.messages, TOOLS
    )


FINAL = ("<|channel|>", "final", "<|message|>")
ANSWER = ReadMessage(content="Answer.")


@pytest.mark.parametrize(
    ("pieces", "completed"),
    [
        ((*FINAL, "Answer.", "<|return|>"), {"stopped_by": "."}),
        ((*FINAL, "Ans", "<|start|>", "wer.", "<|return|>"), {}),
        ((*FINAL, "Answer.", "<|end|>", "<|return|>"), {}),
        (("final", "<|message|>", "Answer.", "<|return|>"), {}),
        (("<|start|>", "assistantassistant", *FINAL, "Answer.", "<|return|>"), {}),
        (("<|channel|>", "other", "<|message|>", "Answer.", "<|return|>"), {}),
        ((*FINAL[:2], *FINAL, "Answer.", "<|return|>"), {}),
        (("<|channel|>", "final", "<|constrain|>", "<|message|>", "Answer.", "<|return|>"), {}),
        (
            (" to", "<|constrain|>", "=functions.f", "<|channel|>", "final", "<|message|>",
             "Answer.", "<|return|>"),
            {},
        ),
        ((*FINAL, "<|reserved_200100|>", "<|return|>"), {}),
        (("<|channel|>", "analysis", "<|message|>", "Hm"), {}),
        (("<|channel|>", "commentary to=functions.f", "<|message|>", "{"), {}),
        (("<|channel|>",), {}),
        ((), {}),
    ],
)  # fmt: skip
def test_malformed_completions_are_rendered_from_their_text(chatting, pieces, completed):
    chatting.says("user", "Question?")
    chatting.answers(*pieces, read=ANSWER, **completed)
    fresh = HarmonyFormat(chatting.tokenizer, TOKENS)
    assert chatting.prompt() == fresh.render(chatting.messages, TOOLS)


def test_a_completion_that_was_cut_is_continued_by_an_end(chatting):
    chatting.says("user", "Question?")
    chatting.answers(*FINAL, "Answer.", read=ANSWER)
    text = chatting.chat.decode(chatting.prompt())
    assert text.endswith("<|channel|>final<|message|>Answer.<|end|><|start|>assistant")
    assert chatting.odd("Answer.") == chatting.prompt()[-3 - len("Answer.") : -3]


def test_the_least_recently_used_turn_is_evicted_first():
    turns = SampledTurns(max_turns=2)
    turn = SampledTurn(reasoning="", messages=())
    turns.remember(b"a", turn)
    turns.remember(b"b", turn)
    assert turns.recall(b"a") is turn
    turns.remember(b"c", turn)
    assert turns.recall(b"b") is None


def test_positions_differ_by_what_precedes_them():
    message = Message(role="user", content="Hi")
    one, two, three = Position(), Position(), Position("Be brief.")
    assert one.before(message) == two.before(message) != three.before(message)
    one.add(message)
    assert one.before(message) != two.before(message)


STRUCTURE = TOKENS.all


def doubled(token_ids):
    return [a for a, b in itertools.pairwise(token_ids) if a == b and a in STRUCTURE]


def test_saved_turns_have_each_marker_once(chatting):
    """Also after the text of a prompt is decoded and encoded."""
    for k in range(3):
        one_turn(chatting, k)
    prompt = chatting.prompt()
    again = chatting.tokenizer.encode(chatting.chat.decode(prompt))
    for token_ids in (prompt, again):
        assert doubled(token_ids) == []
        counts = [token_ids.count(i) for i in (TOKENS.start, TOKENS.message)]
        assert counts[0] == counts[1] + 1  # the prompt ends after `<|start|>assistant`


@pytest.mark.parametrize(
    "pieces",
    [
        ("<|channel|>", *FINAL, "Answer.", "<|return|>"),
        (*FINAL, "<|message|>", "Answer.", "<|return|>"),
        (*FINAL, "Answer.", "<|end|>", "<|end|>", "<|return|>"),
        (*FINAL, "Answer.", "<|end|>", "<|start|>", "<|start|>", "assistant", *FINAL, "<|return|>"),
    ],
)
def test_markers_that_a_model_doubles_are_not_saved(chatting, pieces):
    chatting.says("user", "A question?")
    chatting.answers(*pieces, read=ANSWER)
    assert doubled(chatting.prompt()) == []
