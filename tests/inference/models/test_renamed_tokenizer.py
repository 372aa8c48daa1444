"""A copy of a tokenizer whose control tokens have secret names."""

import json

import pytest
from concordance_inference.models.renamed_tokenizer import RenamedTokenizer
from counted_calls import num_calls
from hypothesis import given, settings
from hypothesis import strategies as st
from real_tokenizers import byte_level, sentencepiece
from token_families import FAMILIES
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

NAMES = ("<s>", "</s>", "<mask>")
PIECES = [
    *("<s>", "</s>", "<mask>", "<think>", " x ", "▁▁▁▁", "Ġé", "é̃"),
    *(
        "the",
        "not",
        "here",
        "a",
        "b",
        " ",
        "  ",
        "\n",
        "é",
        "日",
        "😀",
        "<",
        "s>",
        "/",
        "|",
        "�",
        "'m",
    ),
]


def copy_of(tokenizer, names=NAMES):
    return RenamedTokenizer(tokenizer, names)


def spans_of(pieces):
    spans, end = [], 0
    for piece in pieces:
        if piece in NAMES:
            spans.append((end, end + len(piece)))
        end += len(piece)
    return spans


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=60)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12))
def test_a_text_has_the_same_tokens_if_all_of_its_control_tokens_are_marked(family, pieces):
    pieces = [piece for piece in pieces if piece not in ("<", "s>", "/")]
    encoded = FAMILIES[family].encode("".join(pieces), add_special_tokens=False)
    token_ids, begins = copy_of(FAMILIES[family]).encode("".join(pieces), spans_of(pieces))

    assert token_ids == encoded.ids
    assert begins == [begin for begin, _ in encoded.offsets]


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=60)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=12), data=st.data())
def test_a_name_that_is_not_marked_is_no_control_token(family, pieces, data):
    tokenizer = FAMILIES[family]
    spans = [span for span in spans_of(pieces) if data.draw(st.booleans())]
    token_ids, _ = copy_of(tokenizer).encode("".join(pieces), spans)
    control = [tokenizer.token_to_id(name) for name in NAMES]
    text = "".join(pieces)

    assert [i for i in token_ids if i in control] == [
        tokenizer.token_to_id(text[begin:end]) for begin, end in spans
    ]


@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_a_name_as_text_has_the_tokens_of_a_tokenizer_without_control_tokens(make):
    tokenizer = make()
    plain = make()
    plain.encode_special_tokens = True
    text = "the <eos> of this License <eos>and"

    assert copy_of(tokenizer, ["<eos>"]).encode(text, [])[0] == plain.encode(text).ids


def test_a_vocabulary_that_has_the_name_does_not_match_it_in_text():
    whole = Tokenizer(
        models.BPE(
            vocab={"<": 0, "s": 1, ">": 2, "<s": 3, "<s>": 4},
            merges=[("<", "s"), ("<s", ">")],
            ignore_merges=True,
        )
    )
    whole.add_special_tokens(["<s>"])
    likely = Tokenizer(
        models.Unigram([("u", -9.0), ("<", -3.0), ("s", -3.0), (">", -3.0), ("<s>", 0.0)], 0)
    )
    likely.add_special_tokens(["<s>"])

    assert copy_of(whole, ["<s>"]).encode("<s><s>", [(3, 6)])[0] == [3, 2, 4]
    assert copy_of(likely, ["<s>"]).encode("<s><s>", [(0, 3)])[0] == [4, 1, 2, 3]


def test_a_look_alike_is_no_control_token():
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate("<s>a")}, merges=[]))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.add_special_tokens([AddedToken("<s>", normalized=True)])

    wide = "".join(chr(ord(char) + 0xFEE0) for char in "<s>")

    assert tokenizer.encode(wide).ids == [4]
    assert copy_of(tokenizer, ["<s>"]).encode(f"{wide}<s>a", [(3, 6)])[0] == [0, 1, 2, 4, 3]


def normalized(family):
    """A family whose control tokens are found in the normalized text."""
    state = json.loads(FAMILIES[family].to_str())
    for token in state["added_tokens"]:
        token["normalized"] = token["normalized"] or token["content"] in NAMES
    return Tokenizer.from_str(json.dumps(state))


@pytest.mark.parametrize("family", ["llama2", "llama2_metaspace", "gemma", "gpt2", "unigram"])
@settings(deadline=None, max_examples=60)
@given(pieces=st.lists(st.sampled_from([*NAMES, "the", "a", " ", "\n", "é"]), max_size=12))
def test_names_in_the_normalized_text_have_the_same_tokens(family, pieces):
    tokenizer = normalized(family)
    token_ids, _ = copy_of(tokenizer).encode("".join(pieces), spans_of(pieces))

    assert token_ids == tokenizer.encode("".join(pieces), add_special_tokens=False).ids


def test_a_tokenizer_in_python_cannot_be_copied():
    class Split:
        def pre_tokenize(self, pretok):
            pretok.split(lambda i, text: [text])

    tokenizer = byte_level()
    tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Split())

    with pytest.raises(ValueError, match="cannot be copied"):
        copy_of(tokenizer, ["<eos>"])


def test_a_secret_name_in_the_text_is_refused():
    renamed = copy_of(FAMILIES["gpt2"])
    secret = renamed._secrets["<s>"]

    with pytest.raises(ValueError, match="secret name"):
        renamed.encode(f"a{secret}", [])


def test_many_names_take_linear_work():
    renamed = copy_of(FAMILIES["gpt2"])

    def work(count):
        control = [(3 * i, 3 * i + 3) for i in range(count)]
        return num_calls(lambda: renamed.encode("<s>" * 2 * count, control))

    few = work(1000)
    assert few >= 1000
    assert work(10_000) < 11 * few
