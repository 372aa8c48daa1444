import pytest
from concordance_inference.server.responses.errors import UnknownItemError, UnknownResponseError
from concordance_inference.server.responses.items import InputText, MessageItem
from concordance_inference.server.responses.response_store import ResponseStore, StoredResponse


def message(name, text="x"):
    return MessageItem(id=name, role="user", content=(InputText(text),))


def response(name, *, context=(), output=None, size=10):
    return StoredResponse(
        id=name,
        status="completed",
        body=b"x" * size,
        num_bytes=size + sum(len(item.content[0].text) for item in context),
        is_background=False,
        context=tuple(context),
        output=(message(f"msg_{name}"),) if output is None else output,
    )


def test_the_least_recently_used_response_is_evicted_first():
    store = ResponseStore(max_responses=2)
    store.put(response("a"))
    store.put(response("b"))
    store.get("a")
    store.put(response("c"))

    assert store.find("b") is None
    assert store.find("a") is not None
    with pytest.raises(UnknownResponseError, match="was evicted"):
        store.get("b")


def test_responses_are_bounded_by_their_size():
    store = ResponseStore(max_bytes=100_000)
    for i in range(20):
        store.put(response(str(i), size=20_000))

    assert store.num_bytes <= 100_000
    assert len(store) == 5


def test_a_response_larger_than_the_limit_is_not_kept():
    store = ResponseStore(max_bytes=100)
    store.put(response("a", size=1000))

    assert (len(store), store.num_bytes) == (0, 0)


def test_the_conversation_before_a_response_counts():
    store = ResponseStore()
    store.put(response("a", context=[message("long", "x" * 1000)]))

    assert store.num_bytes > 1000


def test_an_item_is_found_while_any_response_has_it():
    store = ResponseStore()
    store.put(response("a"))
    item = store.item("msg_a", "input[0].id")
    store.put(response("b", context=[item]))
    store.delete("a")
    assert store.item("msg_a", "input[0].id") is item
    store.delete("b")

    with pytest.raises(UnknownItemError, match="msg_a"):
        store.item("msg_a", "input[0].id")
    assert store.num_bytes == 0


def test_a_response_that_is_put_again_replaces_the_first():
    store = ResponseStore()
    store.put(response("a", size=1000))
    store.put(response("a"))

    assert (len(store), store.get("a").body) == (1, b"x" * 10)
    assert store.num_bytes < 1000


def test_unknown_deleted_and_running_responses_have_different_messages():
    store = ResponseStore()
    store.put(response("a"))
    store.delete("a")
    store.expect("b")

    assert "was deleted" in store.lack_of("a")
    assert "in progress" in store.lack_of("b")
    assert "there is no response 'c'" in store.lack_of("c")
    with pytest.raises(UnknownResponseError):
        store.delete("c")
