from dataclasses import replace
from types import SimpleNamespace

import pytest
from concordance_inference.chat.message_parts import ContentText, joined
from concordance_inference.cli.chat import local_model
from concordance_inference.cli.chat.local_model import LocalModel, LocalReply
from concordance_inference.cli.chat.reply import ReplyEnd, Restated
from concordance_inference.cli.options import Chat
from concordance_inference.generation import GenerationRequest, Started
from concordance_inference.loop_detection import FoundLoop
from concordance_shared import ConcordanceError, Message
from fake_engine import says
from tiny_folder import write_thinking_folder, write_tiny_folder
from tiny_gpt_oss import write_tiny_gpt_oss

HI = [Message(role="user", content="hi")]
THINK = """
from concordance_sdk import ForwardPass, mod
@mod(on=[ForwardPass])
def think(event, actions, tokenizer):
    if event.step == 0:
        return actions.force_tokens(tokenizer.encode("<think>hmm</think>4"))
"""


def options_of(folder, **values):
    values = {"max_tokens": 12, "temperature": 0.0, "ignore_eos": True, **values}
    return Chat(model=str(folder), **values)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return write_tiny_folder(tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(name="model", scope="module")
def _model(folder):
    with LocalModel(options_of(folder)) as model:
        yield model


def run(reply):
    """The message of a reply, its end, and what it can be resumed from."""
    *updates, end = reply
    parts = []
    for update in updates:
        if isinstance(update, Restated):
            parts = [*update.parts]
        elif not isinstance(update, Started):
            parts.append(update)
    assert isinstance(end, ReplyEnd)
    return joined(parts), end, reply.cut


def said(message):
    content = Message(
        role="assistant", content=message.content, reasoning_content=message.reasoning or None
    )
    return [*HI, content]


def test_reply_has_parts_and_an_end(model, folder):
    message, end, _ = run(model.reply(HI, options_of(folder)))

    assert message.content
    assert (end.finish, end.completion_tokens) == ("length", 12)
    assert end.prompt_tokens == len("u:hi|a:")


@pytest.mark.parametrize("num_tokens", range(1, 12))
def test_resumed_reply_is_the_one_without_a_cut(model, folder, num_tokens):
    whole, _, _ = run(model.reply(HI, options_of(folder)))
    first, _, cut = run(model.reply(HI, options_of(folder, max_tokens=num_tokens)))
    rest = options_of(folder, max_tokens=12 - num_tokens)
    resumed, end, _ = run(model.resume(said(first), rest, cut))

    assert resumed == whole
    assert end.completion_tokens == 12 - num_tokens


def test_reply_is_resumed_twice(model, folder):
    whole, _, _ = run(model.reply(HI, options_of(folder)))
    part, _, cut = run(model.reply(HI, options_of(folder, max_tokens=4)))
    for _ in range(2):
        part, _, cut = run(model.resume(said(part), options_of(folder, max_tokens=4), cut))

    assert part == whole


def test_loaded_reply_is_resumed_from_its_text(model, folder):
    before = [*HI, Message(role="assistant", content="Hello")]
    reply = model.resume(before, options_of(folder, max_tokens=3), None)
    _, end, _ = run(reply)

    assert (end.prompt_tokens, end.completion_tokens) == (len("u:hi|a:Hello"), 3)


def test_reply_that_is_not_kept_is_resumed_from_its_text(model, folder, monkeypatch):
    monkeypatch.setattr(local_model, "_CANCEL_S", 0.0)
    before = [*HI, Message(role="assistant", content="Hello")]
    _, end, _ = run(model.resume(before, options_of(folder, max_tokens=3), "nosuch"))

    assert end.prompt_tokens == len("u:hi|a:Hello")


def test_stopped_reply_is_resumed_with_all_that_was_generated(model, folder):
    whole, _, _ = run(model.reply(HI, options_of(folder, max_tokens=60)))
    reply = model.reply(HI, options_of(folder, max_tokens=60))
    updates = iter(reply)
    shown = ""
    while not shown:
        part = next(updates)
        shown = part.text if isinstance(part, ContentText) else ""
    ended = reply.stop()[-1]
    assert (ended.finish, ended.completion_tokens > 0) == ("interrupted", True)

    before = [*HI, Message(role="assistant", content=shown)]
    again, _, _ = run(model.resume(before, options_of(folder, max_tokens=60), reply.cut))
    num_common = min(len(again.content), len(whole.content))
    assert again.content[:num_common] == whole.content[:num_common]
    assert num_common > len(shown)


def test_loop_is_the_end_of_a_reply():
    loop = FoundLoop(begin=1, period=1, repeats=30, outcome="ended")
    runtime = SimpleNamespace(
        prepare=lambda request: request, submit=lambda request: says("aaa", loops=(loop,))
    )
    reply = LocalReply(runtime, GenerationRequest(request_id="r", prompt_ids=(1,)))

    assert run(reply)[1].finish == "loop"


def test_mods_are_listed_checked_and_used(model, folder):
    greeting = options_of(folder, mod=["greeting:text=Hello"], max_tokens=5)

    assert run(model.reply(HI, greeting))[0].content == "Hello"
    assert [line.description for line in model.mods() if line.name == "greeting"] != [""]
    with pytest.raises(ConcordanceError, match="there is no mod 'greting'"):
        model.check_mods(options_of(folder, mod=["greting"]))


def test_model_that_cannot_be_loaded_leaves_the_one_before(folder, tmp_path):
    other = write_tiny_folder(tmp_path / "other")
    with LocalModel(options_of(folder)) as model:
        with pytest.raises(ConcordanceError, match="nowhere"):
            model.switch("/nowhere")
        assert model.id == "tiny-llama"
        model.switch(str(other))
        assert (model.id, model.source) == ("other", str(other))
        assert run(model.reply(HI, options_of(folder)))[1].finish == "length"

    assert "default" in model.model_names()


def test_ctrl_c_while_a_model_is_loaded_leaves_the_one_before(folder, monkeypatch):
    def interrupted(*args, **options):
        monkeypatch.undo()
        raise KeyboardInterrupt

    with LocalModel(options_of(folder)) as model:
        monkeypatch.setattr(local_model, "running", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.switch("default")

        assert model.id == "tiny-llama"


@pytest.fixture(name="thinking", scope="module")
def _thinking(tmp_path_factory):
    folder = write_thinking_folder(tmp_path_factory.mktemp("thinking") / "tiny")
    (folder.parent / "think.py").write_text(THINK)
    options = options_of(folder, mods=[folder.parent / "think.py"], mod=["think"])
    with LocalModel(options) as model:
        yield model, options


def test_reasoning_is_apart_at_every_cut(thinking):
    model, options = thinking
    whole, _, _ = run(model.reply(HI, options))
    assert (whole.reasoning, whole.content[:1]) == ("hmm", "4")
    for num_tokens in range(1, 8):  # the first are <think> h m m </think> 4
        first, _, cut = run(model.reply(HI, replace(options, max_tokens=num_tokens)))
        rest = replace(options, max_tokens=12 - num_tokens)

        assert run(model.resume(said(first), rest, cut))[0] == whole, num_tokens


def test_reasoning_that_was_cut_and_saved_is_opened_again(thinking):
    model, _ = thinking
    before = [*HI, Message(role="assistant", content="", reasoning_content="hm")]
    reply = model.resume(before, Chat(max_tokens=2, temperature=0.0), None)
    _, end, _ = run(reply)

    assert end.prompt_tokens == len([*"u:hi|a:", "<think>", *"\nhm"])


def test_reasoning_cannot_be_resumed_by_a_model_without_tags(model, folder):
    before = [*HI, Message(role="assistant", content="", reasoning_content="hm")]
    with pytest.raises(ConcordanceError, match="/resume: .*no tags"):
        model.resume(before, options_of(folder), None)


HARMONY = (
    "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>It is 4"
)


@pytest.mark.slow
def test_reply_of_gpt_oss_is_resumed_at_every_cut(tmp_path):
    write_tiny_gpt_oss(tmp_path / "gpt-oss")
    (tmp_path / "think.py").write_text(THINK.replace("<think>hmm</think>4", HARMONY))
    options = options_of(
        tmp_path / "gpt-oss", mods=[tmp_path / "think.py"], mod=["think"], max_tokens=16
    )
    with LocalModel(options) as model:
        whole, _, _ = run(model.reply(HI, options))
        assert (whole.reasoning, whole.content[:7]) == ("hm", "It is 4")
        for num_tokens in (1, 4, 9):  # in a header, in the reasoning, in a header
            first, _, cut = run(model.reply(HI, replace(options, max_tokens=num_tokens)))
            rest = replace(options, max_tokens=16 - num_tokens)

            assert run(model.resume(said(first), rest, cut))[0] == whole, num_tokens
