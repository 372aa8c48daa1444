"""Tokenizers of GGUF files: pre-tokenization and special tokens."""

import logging

import pytest
from concordance_inference.models.gguf import convert_gguf
from concordance_inference.models.gguf.file import GgufFile
from concordance_inference.models.gguf.tokenizer import Vocabulary
from concordance_shared import ModelLoadError
from gguf_files import END

TEXT = "It's 12345 o'clock, HTTPServer's\n\n  résumé 日本語です!!\r\n\t3.14 x"

#: The expected pre-tokenization of TEXT, with the leading spaces of tokens.
PIECES = {
    "llama-bpe": "It|'s| |123|45| o|'clock|,| HTTPServer|'s|\n\n| | résumé| 日本語です|!!\r\n|\t"
    "|3|.|14| x",
    "qwen2": "It|'s| |1|2|3|4|5| o|'clock|,| HTTPServer|'s|\n\n| | résumé| 日本語です|!!\r\n|\t"
    "|3|.|1|4| x",
    "gpt-2": "It|'s| 12345| o|'|clock|,| HTTPServer|'s|\n\n | résumé| 日本語です|!!|\r\n|\t"
    "|3|.|14| x",
    "smollm": "It|'s| |1|2|3|4|5| o|'|clock|,| HTTPServer|'s|\n\n | résumé| 日本語です|!!|\r\n\t"
    "|3|.|1|4| x",
    "tekken": "It|'s| |1|2|3|4|5| o|'clock|,| HTTPServer|'s|\n\n| | résumé| 日本語です|!!\r\n|\t"
    "|3|.|1|4| x",
    "gpt-4o": "It's| |123|45| o|'clock|,| HTTPServer's|\n\n| | résumé| 日本語です|!!\r\n|\t"
    "|3|.|14| x",
}


def vocabulary(path, num_rows=10_000):
    return Vocabulary(GgufFile(path), num_rows=num_rows)


def tokenizer(path):
    return vocabulary(path).tokenizer()


@pytest.mark.parametrize("pre", PIECES)
def test_pre_tokenizer_splits_as_the_models_own_tokenizer(files, pre):
    made = tokenizer(files.write(keys={"tokenizer.ggml.pre": pre}))

    ends = [end for _, (_, end) in made.pre_tokenizer.pre_tokenize_str(TEXT)]
    starts = [0, *ends[:-1]]

    assert [TEXT[a:b] for a, b in zip(starts, ends, strict=True)] == PIECES[pre].split("|")


@pytest.mark.parametrize("pre", ["llama-bpe", "qwen2", "gpt-2", "smollm", "default", "tekken"])
def test_gguf_tokenizer_round_trips(files, pre):
    made = tokenizer(files.write(keys={"tokenizer.ggml.pre": pre}))

    ids = made.encode(TEXT, add_special_tokens=False).ids

    assert made.decode(ids) == TEXT


def test_an_unknown_pre_tokenizer_is_rejected_by_name(files):
    with pytest.raises(ModelLoadError, match="pre is 'nosuch'; supported: .*llama-bpe.*qwen2"):
        vocabulary(files.write(keys={"tokenizer.ggml.pre": "nosuch"}))


def test_a_file_without_a_pre_tokenizer_is_logged(files, caplog):
    with caplog.at_level(logging.WARNING):
        vocabulary(files.write(keys={"tokenizer.ggml.pre": None}))

    assert "has no tokenizer.ggml.pre" in caplog.text


def test_qwen2_normalizes_to_nfc(files):
    made = tokenizer(files.write(keys={"tokenizer.ggml.pre": "qwen2"}))

    assert made.encode("e\u0301").ids == made.encode("é").ids


def test_control_tokens_are_special_and_user_defined_tokens_are_not(files):
    types = [1] * (files.vocab_size - 3) + [4, 3, 3]
    made = tokenizer(files.write(keys={"tokenizer.ggml.token_type": types}))

    added = made.get_added_tokens_decoder()
    last = files.vocab_size - 1

    assert {i: token.special for i, token in added.items()} == {
        last - 2: False,
        last - 1: True,
        last: True,
    }
    assert made.encode(f"a{END}b").ids[1] == last


@pytest.mark.parametrize(
    ("pre", "keys", "expected"),
    [
        ("gpt-2", {}, []),
        ("gpt-2", {"tokenizer.ggml.add_bos_token": True}, ["bos"]),
        ("llama-bpe", {}, ["bos"]),
        ("llama-bpe", {"tokenizer.ggml.add_bos_token": False}, []),
        ("llama-bpe", {"tokenizer.ggml.bos_token_id": None}, []),
        ("llama-bpe", {"tokenizer.ggml.add_eos_token": True}, ["bos", "eos"]),
        ("gpt-2", {"tokenizer.ggml.add_eos_token": True}, ["eos"]),
    ],
)
def test_bos_and_eos_are_added_as_the_keys_require(files, pre, keys, expected):
    made = tokenizer(files.write(keys={"tokenizer.ggml.pre": pre, **keys}))
    names = {files.vocab_size - 2: "bos", files.vocab_size - 1: "eos"}

    ids = made.encode("a").ids

    assert [names[i] for i in ids if i in names] == expected
    assert made.encode("a", add_special_tokens=False).ids == [i for i in ids if i not in names]


@pytest.mark.parametrize(
    ("keys", "ends"),
    [
        ({}, [-1]),
        ({"tokenizer.ggml.eos_token_id": None}, [-1]),  # <|im_end|> is in _ENDS
        ({"tokenizer.ggml.eos_token_id": 7}, [7, -1]),
        ({"tokenizer.ggml.eot_token_id": 8}, [-1, 8]),
        ({"tokenizer.ggml.eom_token_id": 9, "tokenizer.ggml.eot_token_id": 8}, [-1, 8, 9]),
        ({"tokenizer.ggml.token_type": None}, [-1]),
    ],
)
def test_every_eos_token_is_in_the_config(files, keys, ends):
    config = vocabulary(files.write(keys=keys)).config()

    assert config["eos_token_id"] == [i % files.vocab_size for i in ends]


def test_a_file_without_an_eos_token_is_logged(files, caplog):
    types = [1] * files.vocab_size
    keys = {"tokenizer.ggml.eos_token_id": None, "tokenizer.ggml.token_type": types}

    with caplog.at_level(logging.WARNING):
        config = vocabulary(files.write(keys=keys)).config()

    assert config["eos_token_id"] is None
    assert "no token that ends a completion" in caplog.text


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"tokenizer.ggml.model": "llama"}, r"tokenizer\.ggml\.model is 'llama'"),
        ({"tokenizer.ggml.model": None}, r"tokenizer\.ggml\.model is None"),
        ({"tokenizer.ggml.tokens": None}, r"tokenizer\.ggml\.tokens is missing"),
        ({"tokenizer.ggml.tokens": ["a", "a"]}, r"token_type is not a list of 2"),
        ({"tokenizer.ggml.merges": None}, r"tokenizer\.ggml\.merges is missing"),
        ({"tokenizer.ggml.merges": ["nosuch token"]}, "do not match the tokens"),
        ({"tokenizer.ggml.merges": ["ab"]}, "do not match the tokens"),
        ({"tokenizer.ggml.merges": ["~ }"]}, r"do not match the tokens: '~ }' must be two tokens"),
        ({"tokenizer.ggml.merges": ["a  b"]}, "do not match the tokens"),
        ({"tokenizer.ggml.model": [1, 2]}, r"tokenizer\.ggml\.model is array"),
        ({"tokenizer.ggml.pre": 3}, r"tokenizer\.ggml\.pre is 3; supported: "),
        ({"tokenizer.ggml.add_bos_token": "no"}, "add_bos_token is 'no'; it must be true or false"),
        ({"tokenizer.ggml.add_bos_token": [True, False]}, "add_bos_token is array"),
        ({"tokenizer.ggml.add_space_prefix": [False, True]}, "add_space_prefix is array"),
        ({"tokenizer.ggml.eos_token_id": True}, "eos_token_id is True; the file has"),
        ({"tokenizer.ggml.eos_token_id": 99_999}, r"eos_token_id is 99999"),
        ({"tokenizer.ggml.eot_token_id": -1}, r"eot_token_id is -1"),
        ({"tokenizer.ggml.token_type": [1, 2]}, r"token_type is not a list"),
        ({"tokenizer.ggml.suppress_tokens": [1]}, r"suppress_tokens is not supported"),
        ({"tokenizer.ggml.add_space_prefix": True}, r"add_space_prefix is True"),
        ({"tokenizer.chat_template": 5}, r"chat_template is not a string"),
    ],
)
def test_unsupported_keys_are_rejected_by_name(files, keys, message):
    path = files.write(keys=keys)

    with pytest.raises(ModelLoadError, match=rf"tiny\.gguf: .*{message}"):
        convert_gguf(path, files.folder / "made", weights="float32", progress=print)


def test_duplicate_tokens_are_rejected(files):
    keys = {"tokenizer.ggml.tokens": ["a", "a"], "tokenizer.ggml.token_type": [1, 1]}

    with pytest.raises(ModelLoadError, match="the same token twice"):
        vocabulary(files.write(keys=keys))


def test_more_tokens_than_embedding_rows_are_rejected(files):
    with pytest.raises(ModelLoadError, match="embedding has 20 rows"):
        vocabulary(files.write(), num_rows=20)


def test_tokenizer_config(files):
    made = vocabulary(files.write(keys={"tokenizer.chat_template": "{{ messages }}"}))

    config = made.tokenizer_config(512)

    assert config["bos_token"] == "<|im_start|>"
    assert config["eos_token"] == END
    assert config["chat_template"] == "{{ messages }}"
    assert config["model_max_length"] == 512
