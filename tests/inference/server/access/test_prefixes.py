"""No key finds what another key's requests have left in the caches, whatever API it uses."""

import json

import pytest
from concordance_inference.keys.keyring import Keyring
from concordance_inference.runtime import Runtime
from concordance_inference.server.access.access import Access
from keyed import KeyedServer
from sandboxes import mod_catalog
from tiny_folder import write_tiny_folder

SECRET = "The password of the third vault is swordfish, and the fourth one has none. "
MESSAGES = [{"role": "user", "content": SECRET}]

#: By path: the body, and the tokens of the prompt that were cached.
APIS = {
    "/v1/chat/completions": (
        {"messages": MESSAGES},
        lambda usage: usage["prompt_tokens_details"]["cached_tokens"],
    ),
    "/v1/completions": (
        {"prompt": SECRET},
        lambda usage: usage["prompt_tokens_details"]["cached_tokens"],
    ),
    "/v1/responses": (
        {"input": SECRET},
        lambda usage: usage["input_tokens_details"]["cached_tokens"],
    ),
    "/v1/messages": ({"messages": MESSAGES}, lambda usage: usage["cache_read_input_tokens"]),
}


@pytest.fixture(name="runtime", scope="module")
def _runtime(tmp_path_factory):
    model = write_tiny_folder(tmp_path_factory.mktemp("models") / "tiny")
    config = model / "config.json"
    fields = {**json.loads(config.read_text()), "max_position_embeddings": 1024}
    config.write_text(json.dumps(fields))
    with Runtime(str(model), mod_catalog(), progress=lambda _: None) as runtime:
        yield runtime


@pytest.fixture(name="serve")
def _serve(runtime, tmp_path):
    def serve(**options):
        path = tmp_path / "keys.json"
        access = Access(Keyring(path), **options)
        return KeyedServer(path, runtime, runtime.chat, access=access)

    return serve


def sent(client, runtime, path, **fields):
    """Send the prompt; return the number of tokens that were cached, and that were not."""
    body, cached = APIS[path]
    limit = {"max_output_tokens" if path == "/v1/responses" else "max_tokens": 2}
    given = {"model": runtime.model.id, "temperature": 0, **limit, **body, **fields}
    response = client.post(path, json=given)
    assert response.status_code == 200, response.text
    return cached(response.json()["usage"])


@pytest.mark.parametrize("path", APIS)
def test_a_prompt_that_another_key_has_sent_is_prefilled_as_a_whole(serve, runtime, path):
    server = serve()
    ann, bob = server.of("infer"), server.of("infer")

    assert sent(ann, runtime, path) == 0
    assert sent(bob, runtime, path) == 0
    for client in (ann, bob):
        assert sent(client, runtime, path) > 50


def test_an_admin_finds_no_prefix_of_others_either(serve, runtime):
    server = serve()
    path = "/v1/chat/completions"

    assert sent(server.of("infer"), runtime, path) == 0
    assert sent(server.of("admin"), runtime, path) == 0


def test_keys_of_one_owner_share_prefixes(serve, runtime):
    server = serve()
    path = "/v1/chat/completions"

    assert sent(server.of("infer", owner="ann"), runtime, path) == 0
    assert sent(server.of("infer", owner="ann"), runtime, path) > 50


def test_no_salt_reaches_the_prefixes_of_another_key(serve, runtime):
    server = serve()
    path = "/v1/chat/completions"
    (ann, first), (_, second) = server.key("infer"), server.key("infer")
    assert sent(server.client(first), runtime, path, cache_salt="s") == 0

    for salt in ("s", ann.owner, f"{ann.owner}\0s", f"\0{ann.owner}\0s"):
        assert sent(server.client(second), runtime, path, cache_salt=salt) == 0
    assert sent(server.client(first), runtime, path, cache_salt="s") > 50


def test_keys_share_prefixes_where_the_operator_says_so(serve, runtime):
    server = serve(shares_prefixes=True)
    path = "/v1/completions"

    assert sent(server.of("infer"), runtime, path, cache_salt="shared") == 0
    assert sent(server.of("infer"), runtime, path, cache_salt="shared") > 50


def test_a_completion_of_another_key_is_not_spliced_into_a_prompt(serve, runtime):
    """The tokens that a model sampled for a text may be other ones than those of the text."""
    server = serve()
    ann, bob = server.of("infer"), server.of("infer")
    path = "/v1/chat/completions"
    body = {"model": runtime.model.id, "messages": MESSAGES, "max_tokens": 8, "seed": 3}
    answer = ann.post(path, json=body).json()["choices"][0]["message"]["content"]
    following = [*MESSAGES, {"role": "assistant", "content": answer}, *MESSAGES]

    recalled = []
    plain = runtime.chat._sampled.recall
    runtime.chat._sampled.recall = lambda *args: recalled.append(plain(*args)) or recalled[-1]
    try:
        for client in (bob, ann):
            client.post(path, json={**body, "messages": following})
    finally:
        runtime.chat._sampled.recall = plain
    assert recalled[0] is None
    assert recalled[1] is not None
