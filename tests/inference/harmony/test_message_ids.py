from concordance_inference.harmony.message import HarmonyMessage
from concordance_inference.harmony.message_ids import MessageIds, MessageKey


def key(text, *, allows=False):
    return MessageKey(HarmonyMessage(author="user", content=text), allows)


def test_messages_are_tokenized_once():
    made = []
    ids = MessageIds(lambda key: made.append(key) or [1, 2])
    assert list(ids.of(key("a"))) == list(ids.of(key("a"))) == [1, 2]
    ids.of(key("a", allows=True))
    assert made == [key("a"), key("a", allows=True)]


def test_the_least_recently_used_message_is_evicted_first():
    made = []
    ids = MessageIds(lambda key: made.append(key.message.content) or [1] * 4, max_ids=8)
    for text in "abacab":
        ids.of(key(text))
    assert made == ["a", "b", "c", "b"]
