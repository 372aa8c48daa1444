import pytest
from concordance_inference.chat.message_parts import joined
from concordance_inference.cli.chat.local_model import LocalCut, LocalModel
from concordance_inference.cli.chat.reply import ReplyEnd, Restated
from concordance_inference.cli.options import Chat
from concordance_inference.generation import Started
from concordance_shared import ConcordanceError, Message
from tiny_folder import write_thinking_folder, write_tiny_folder

HI = [Message(role="user", content="hi")]
THINK = """
from concordance_sdk import Prefilled, mod
@mod(on=[Prefilled])
def think(event, actions, tokenizer):
    return actions.force_output(tokenizer.encode("<think>hmm</think>4"))
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


def test_reply_has_parts_and_an_end(model, folder):
    message, end, cut = run(model.reply(HI, options_of(folder)))

    assert message.content
    assert (end.finish, end.completion_tokens, len(cut.token_ids)) == ("length", 12, 12)
    assert end.prompt_tokens == len("u:hi|a:")


@pytest.mark.parametrize("num_tokens", range(1, 12))
def test_resumed_reply_is_the_one_without_a_cut(model, folder, num_tokens):
    whole, _, uncut = run(model.reply(HI, options_of(folder)))
    first, _, cut = run(model.reply(HI, options_of(folder, max_tokens=num_tokens)))
    said = [*HI, Message(role="assistant", content=first.content)]
    rest = options_of(folder, max_tokens=12 - num_tokens)
    resumed, end, again = run(model.resume(said, rest, cut))

    assert again.token_ids == uncut.token_ids
    assert resumed.content == whole.content
    assert (end.completion_tokens, end.prompt_tokens) == (12 - num_tokens, len("u:hi|a:"))


def test_reply_is_resumed_twice(model, folder):
    _, _, uncut = run(model.reply(HI, options_of(folder)))
    _, _, cut = run(model.reply(HI, options_of(folder, max_tokens=4)))
    for _ in range(2):
        _, _, cut = run(model.resume(HI, options_of(folder, max_tokens=4), cut))

    assert cut.token_ids == uncut.token_ids


def test_loaded_reply_is_resumed_from_its_text(model, folder):
    said = [*HI, Message(role="assistant", content="Hello")]
    _, end, cut = run(model.resume(said, options_of(folder, max_tokens=3), None))

    assert cut.request.prompt_ids == tuple(model.runtime.chat.encode("u:hi|a:Hello"))
    assert end.completion_tokens == 3


def test_stopped_reply_can_be_resumed(model, folder):
    reply = model.reply(HI, options_of(folder, max_tokens=60))
    updates = iter(reply)
    while not reply.cut.token_ids:
        next(updates)
    ended = reply.stop()[-1]
    assert (ended.finish, ended.completion_tokens) == ("interrupted", len(reply.cut.token_ids))

    num_rest = 60 - len(reply.cut.token_ids)
    _, _, whole = run(model.reply(HI, options_of(folder, max_tokens=60)))
    _, _, again = run(model.resume(HI, options_of(folder, max_tokens=num_rest), reply.cut))
    assert again.token_ids == whole.token_ids


def test_mods_are_listed_checked_and_used(model, folder):
    greeting = options_of(folder, mod=["greeting:text=Hello"], max_tokens=5)

    assert run(model.reply(HI, greeting))[0].content == "Hello"
    assert "greeting" in {line.name for line in model.mods()}
    assert all(line.description for line in model.mods())
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


@pytest.fixture(name="thinking", scope="module")
def _thinking(tmp_path_factory):
    folder = write_thinking_folder(tmp_path_factory.mktemp("thinking") / "tiny")
    (folder.parent / "think.py").write_text(THINK)
    options = options_of(folder, mods=[folder.parent / "think.py"], mod=["think"])
    with LocalModel(options) as model:
        yield model, options


def test_reasoning_is_apart_at_every_cut(thinking):
    model, options = thinking
    whole, _, uncut = run(model.reply(HI, options))
    assert (whole.reasoning, whole.content) == ("hmm", "4")
    for i in range(1, len(uncut.token_ids)):
        text = model.runtime.chat.decode(uncut.token_ids[:i])
        before = LocalCut(uncut.request, uncut.token_ids[:i], text)
        reply = model.resume(HI, options, before)
        reply.stop()
        restated = next(iter(reply))
        read = joined(restated.parts)
        assert whole.reasoning.startswith(read.reasoning)
        assert whole.content.startswith(read.content)


def test_reasoning_that_was_cut_and_saved_is_opened_again(thinking):
    model, _ = thinking
    said = [*HI, Message(role="assistant", content="", reasoning_content="hm")]
    reply = model.resume(said, Chat(max_tokens=2, temperature=0.0), None)
    _, _, cut = run(reply)

    assert model.runtime.chat.decode(cut.request.prompt_ids).endswith("a:<think>\nhm")
    assert cut.request.reasoning.opened == ("<think>", "</think>")


def test_reasoning_cannot_be_resumed_by_a_model_without_tags(model, folder):
    said = [*HI, Message(role="assistant", content="", reasoning_content="hm")]
    with pytest.raises(ConcordanceError, match="/resume: .*no tags"):
        model.resume(said, options_of(folder), None)
