import hashlib

import o200k
import pytest
from concordance_inference.harmony.encoding import FILE, SHA256, harmony_encoding, tiktoken_file


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CONCORDANCE_CACHE", str(tmp_path))
    return tmp_path / "harmony"


def test_the_vocabulary_of_tokenizer_json_gives_the_very_file_of_the_library():
    assert hashlib.sha256(tiktoken_file(o200k.vocabulary())).hexdigest() == SHA256
    assert tiktoken_file(o200k.vocabulary()) == o200k.tiktoken_file()


def test_the_encoding_has_the_ids_of_the_tokenizer(cache):
    encoding = harmony_encoding(o200k.vocabulary())
    assert encoding.stop_tokens_for_assistant_actions() == [200002, 200012] or set(
        encoding.stop_tokens_for_assistant_actions()
    ) == {200002, 200012}
    assert encoding.encode("Hello world", disallowed_special=()) == [13225, 2375]


def test_another_vocabulary_gives_no_encoding_and_leaves_no_file(cache):
    assert harmony_encoding({"a": 0, "b": 1}) is None
    assert not cache.exists()


def test_a_damaged_file_is_written_again(cache):
    cache.mkdir()
    (cache / FILE).write_bytes(b"IQ== 0\n")
    assert harmony_encoding(o200k.vocabulary()) is not None
    assert hashlib.sha256((cache / FILE).read_bytes()).hexdigest() == SHA256
