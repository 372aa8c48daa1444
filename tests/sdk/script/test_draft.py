"""The draft of a script against a completion that is kept as a plain list."""

from concordance_sdk.script.draft import Draft
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import Added, ForwardPass, Prefilled
from concordance_shared.events import ContextInfo
from hypothesis import given
from hypothesis import strategies as st

TOKENIZER = ByteTokenizer()
TEXTS = st.lists(st.sampled_from([*b"abc", 256]), max_size=4)


def started(max_tokens=100):
    draft = Draft(TOKENIZER)
    prompt = ContextInfo(tokens=(62,))
    draft.begin(Prefilled(request_id="r", step=0, max_steps=max_tokens, context_info=prompt))
    return draft


def added(step, token_ids):
    return Added(request_id="r", step=step, added_tokens=tuple(token_ids), forced=True)


def applied(completion, edit):
    """The completion after an edit, by the rule of `Backtrack`."""
    return [*completion[: len(completion) - edit.n], *edit.tokens]


@given(
    start=st.lists(st.sampled_from(b"abc"), max_size=6),
    steps=st.lists(st.one_of(st.integers(0, 8), TEXTS), max_size=6),
)
def test_pending_edit_turns_the_completion_into_the_draft(start, steps):
    draft = started()
    draft.follow(added(0, start))
    for step in steps:
        if isinstance(step, int):
            draft.cut(min(step, len(draft)))
        else:
            draft.append(step)
    assert applied(start, draft.edit) == draft.token_ids
    assert draft.edit.n <= len(start)
    assert 256 not in draft.token_ids[:-1]
    kept = len(start) - draft.edit.n
    assert draft.follow(added(kept, draft.edit.tokens)) is None
    assert not draft.edit


@given(
    before=st.lists(st.sampled_from(b"abc"), max_size=6),
    kept=st.integers(0, 6),
    tokens=st.lists(st.sampled_from(b"abc"), max_size=4),
)
def test_follow_returns_where_another_mod_changed_the_draft(before, kept, tokens):
    draft = started()
    draft.append(before)
    step = min(kept, len(before))
    actual = [*before[:step], *tokens]
    cut = draft.follow(added(step, tokens))
    same = next((i for i in range(len(before)) if i >= len(actual) or before[i] != actual[i]), None)
    assert cut == same
    assert draft.token_ids == actual
    assert str(draft.text) == bytes(actual).decode()


def test_text_follows_every_change():
    draft = started()
    for length, expected in ((3, "abc"), (1, "a"), (0, "")):
        draft.append(b"abc"[len(draft) : 3])
        assert str(draft.text) == "abc"
        draft.cut(length)
        assert str(draft.text) == expected


def test_end_is_appended_once_and_replaced_by_later_text():
    draft = started()
    draft.append(b"a")
    draft.end()
    draft.end()
    assert draft.token_ids == [*b"a", 256]
    assert draft.has_ended
    draft.append(b"b")
    assert draft.token_ids == [*b"ab"]


def test_next_position_shows_that_tokens_were_removed():
    draft = started()
    draft.follow(added(0, b"abcd"))
    logits = ForwardPass(request_id="r", step=2, logits=None)
    assert draft.follow(logits) == 2
    assert draft.token_ids == [*b"ab"]
    assert not draft.is_full
    assert started(max_tokens=0).is_full
