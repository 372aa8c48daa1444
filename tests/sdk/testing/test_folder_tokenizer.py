"""`FolderTokenizer`: a model's own tokenizer, loaded from its folder."""

import builtins
import importlib.metadata
import json

import pytest
from concordance_sdk import use
from concordance_sdk.builtin import InjectAtStart
from concordance_sdk.testing import FolderTokenizer, play
from real_tokenizers import KINDS, byte_level, tokenizer_of, write_tokenizer
from token_families import FAMILIES
from tokenizers import decoders


@pytest.fixture(name="folder")
def _folder(tmp_path):
    return write_tokenizer(tmp_path, byte_level())


def test_text_round_trips_and_special_tokens_are_recognized(folder):
    tokenizer = FolderTokenizer(folder)
    token_ids = tokenizer.encode("Hello 你好<eos>")

    assert tokenizer.decode(token_ids) == "Hello 你好<eos>"
    assert tokenizer.decode(token_ids, skip_special_tokens=True) == "Hello 你好"
    assert token_ids[-1] in tokenizer.eos_token_ids
    assert max(token_ids) < tokenizer.vocab_size == 700


def test_mod_is_played_with_it(folder):
    played = play(
        use(InjectAtStart, text="Hi"), says=" you all", tokenizer=FolderTokenizer(str(folder))
    )

    assert played.text == "Hi you all"


@pytest.mark.parametrize("name", FAMILIES)
def test_decoding_skips_the_tokens_that_incremental_decoding_skips(tmp_path, name):
    tokenizer = FolderTokenizer(write_tokenizer(tmp_path, FAMILIES[name], eos="<think>"))
    (end,) = tokenizer.eos_token_ids
    token_ids = [*tokenizer.encode("a"), end, *tokenizer.encode("b"), *tokenizer.special_token_ids]
    decoder = tokenizer.detokenizer()
    decoder.extend(token_ids)

    assert tokenizer.decode(token_ids, skip_special_tokens=True) == decoder.text()
    assert "<think>" not in decoder.text()


@pytest.mark.parametrize("kind", KINDS)
def test_skipped_token_inside_a_character_does_not_split_it(kind):
    tokenizer = tokenizer_of(kind)
    halves = [
        i for i in range(tokenizer.vocab_size) if tokenizer.token_bytes(i) in (b"\xc3", b"\xa9")
    ]
    first, second = sorted(halves, key=tokenizer.token_bytes, reverse=True)
    end = min(tokenizer.eos_token_ids)
    decoder = tokenizer.detokenizer()
    decoder.extend([first, end, second])

    assert tokenizer.decode([first, end, second], skip_special_tokens=True) == "é"
    assert decoder.text() == "é"


@pytest.mark.parametrize(
    ("name", "config", "ends"),
    [
        ("generation_config.json", {"eos_token_id": [0, 1]}, {0, 1}),
        ("config.json", {"eos_token_id": 1}, {1}),
        ("tokenizer_config.json", {"eos_token": {"content": "<think>"}}, {1}),
        ("special_tokens_map.json", {"eos_token": "<eos>"}, {0}),
    ],
)
def test_eos_tokens_are_read_from_the_models_files(folder, name, config, ends):
    (folder / "tokenizer_config.json").unlink()
    (folder / name).write_text(json.dumps(config))

    assert FolderTokenizer(folder).eos_token_ids == ends


def test_eos_tokens_can_be_given(folder):
    assert FolderTokenizer(folder, eos_tokens=["<think>"]).eos_token_ids == {1}


def test_undeclared_or_unknown_eos_token_is_an_error(folder):
    with pytest.raises(ValueError, match="no token '<nope>'"):
        FolderTokenizer(folder, eos_tokens=["<nope>"])
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"name it with eos_tokens"):
        FolderTokenizer(folder)


def test_folder_without_a_tokenizer_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="it has no tokenizer.json"):
        FolderTokenizer(tmp_path)


def test_error_without_the_library_names_the_package_to_install(folder, monkeypatch):
    plain = builtins.__import__

    def importing(name, *args, **options):
        if name == "tokenizers":
            raise ImportError(name)
        return plain(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(ModuleNotFoundError, match="pip install tokenizers"):
        FolderTokenizer(folder)


@pytest.mark.model
def test_tokenizer_of_the_embedded_model_is_the_default():
    tokenizer = FolderTokenizer()

    assert tokenizer.decode(tokenizer.encode("Hello world")[-1:]) == " world"
    assert "<|im_end|>" in tokenizer.decode([*tokenizer.eos_token_ids])


def test_error_without_a_default_model_names_the_package_to_install(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: ())

    with pytest.raises(ModuleNotFoundError, match="`concordance-inference` brings"):
        FolderTokenizer()


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_token_bytes_join_to_the_text(kind):
    tokenizer = tokenizer_of(kind)
    token_ids = tokenizer.encode("the engine, 你好 €")
    data = b"".join(tokenizer.token_bytes(token_id) for token_id in token_ids)

    assert data.decode().removeprefix(" ") == "the engine, 你好 €"
    (end,) = tokenizer.eos_token_ids
    assert tokenizer.token_bytes(end) == b"<eos>"
    assert end in tokenizer.special_token_ids


def test_vocabulary_without_token_bytes_names_its_decoder(tmp_path):
    tokenizer = byte_level()
    tokenizer.decoder = decoders.CTC()
    read = FolderTokenizer(write_tokenizer(tmp_path, tokenizer))

    with pytest.raises(ValueError, match="decoded by CTC"):
        read.token_bytes(5)
