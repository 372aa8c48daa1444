from concordance_inference.chat.message_parts import ContentText, ReasoningText
from concordance_inference.cli.chat.conversation_file import ReplyEntry
from concordance_inference.cli.chat.reply import Replaced, ReplyEnd, ReplyRecord, Restated
from concordance_inference.generation import Started
from msgspec import structs


def record_of(*updates, record=None):
    """A record whose clock is one second later at each reading."""
    times = iter(range(1000))
    record = record or ReplyRecord(clock=lambda: next(times))
    for update in updates:
        record.add(update)
    return record


END = ReplyEnd(finish="stop", prompt_tokens=5, completion_tokens=11)


def test_parts_become_an_entry_with_its_speed():
    updates = (
        Started(prompt_tokens=5),
        ReasoningText("a"),
        ContentText("b"),
        ContentText("c"),
        END,
    )
    entry = record_of(*updates).entry

    assert (entry.reasoning, entry.content, entry.finish) == ("a", "bc", "stop")
    assert (entry.stats.first_token_s, entry.stats.tokens_per_s) == (1, 10)


def test_speed_is_unknown_without_a_count_of_tokens():
    entry = record_of(ContentText("b"), ReplyEnd(finish="interrupted")).entry

    assert (entry.finish, entry.stats.tokens_per_s) == ("interrupted", None)
    assert entry.stats.first_token_s == 1


def test_resumption_follows_what_was_there():
    record = record_of(ContentText("ab"), ReplyEnd(finish="length", completion_tokens=2))
    record.resumed(structs.replace(record.entry, resumed=1))
    record_of(ContentText("cd"), END, record=record)

    assert (record.entry.content, record.entry.finish, record.entry.resumed) == ("abcd", "stop", 1)
    assert record.entry.stats.completion_tokens == 13


def test_parts_that_are_read_again_replace_those_before():
    record = ReplyRecord()
    record.resumed(ReplyEntry(content="a</thi", resumed=1))
    record_of(Restated([ReasoningText("a")]), ContentText("b"), END, record=record)

    assert (record.entry.reasoning, record.entry.content) == ("a", "b")


def test_replaced_characters_are_removed_from_what_was_there():
    record = ReplyRecord()
    record.resumed(ReplyEntry(content="ab <", reasoning="r", resumed=1))
    record_of(ContentText("c"), Replaced(content=2), END, record=record)

    assert (record.entry.reasoning, record.entry.content) == ("r", "abc")
