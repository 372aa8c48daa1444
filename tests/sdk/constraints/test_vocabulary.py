"""The tokens of a tokenizer in llguidance's form."""

import gc
import subprocess
import sys
import weakref

import pytest
from concordance_sdk.constraints import ChoicesStrat, Grammar, Regex, compile_constraint
from concordance_sdk.constraints.vocabulary import vocabulary_of
from concordance_sdk.testing import ByteTokenizer
from concordance_shared import ConstraintError
from vocabularies import smollm
from wandering import allowed


def test_vocabulary_is_built_once_and_freed_with_its_tokenizer():
    tokenizer = ByteTokenizer()
    vocabulary = vocabulary_of(tokenizer)
    compile_constraint(Regex("a+"), tokenizer).start()
    assert vocabulary_of(tokenizer) is vocabulary

    gone = weakref.ref(vocabulary)
    del tokenizer, vocabulary
    gc.collect()
    assert gone() is None


def test_matcher_keeps_its_tokenizer_alive():
    matcher = compile_constraint(ChoicesStrat(["abc"]), ByteTokenizer()).start()
    gc.collect()

    assert bytes(matcher.forced()) == b"abc"
    matcher.extend(b"abc")
    assert matcher.text == "abc"


def test_equal_constraints_share_a_compiled_grammar():
    tokenizer = ByteTokenizer()
    for _ in range(3):
        compile_constraint(ChoicesStrat(["a", "b"]), tokenizer).start()

    assert len(vocabulary_of(tokenizer)._prototypes) == 1


def test_special_token_is_not_allowed_as_text():
    tokenizer = smollm()
    (eos,) = tokenizer.eos_token_ids
    name = tokenizer.decode([eos])
    matcher = compile_constraint(ChoicesStrat([name]), tokenizer).start()
    matcher.extend(matcher.forced())

    assert matcher.is_complete
    assert matcher.text == name
    assert eos not in matcher.token_ids


def test_grammar_can_contain_a_special_token():
    tokenizer = smollm()
    (start,) = tokenizer.encode("<|im_start|>")
    matcher = compile_constraint(Grammar('start: <|im_start|> "user"'), tokenizer).start()
    assert allowed(matcher.mask(), tokenizer.vocab_size).tolist() == [start]

    matcher.extend([start])
    assert tokenizer.decode(matcher.forced()) == "user"


def test_unknown_special_token_is_rejected_by_name():
    grammar = Grammar('start: <|unknown_token|> "user"')

    with pytest.raises(ConstraintError, match=r"Grammar.*<\|unknown_token\|>"):
        compile_constraint(grammar, smollm())


class Two(ByteTokenizer):
    """Bytes, and two end-of-sequence tokens."""

    vocab_size = 258
    eos_token_ids = frozenset({256, 257})
    special_token_ids = eos_token_ids

    def token_bytes(self, token_id):
        return b"<end>" if token_id == 257 else super().token_bytes(token_id)


def test_every_eos_token_is_allowed_where_the_text_can_stop():
    tokenizer = Two()
    matcher = compile_constraint(ChoicesStrat(["a", "ab"]), tokenizer).start()
    matcher.extend(b"a")
    assert allowed(matcher.mask(), 258).tolist() == [ord("b"), 256, 257]

    matcher.extend([257])
    assert matcher.is_complete
    matcher.rollback(1)
    matcher.extend(b"b")
    assert allowed(matcher.mask(), 258).tolist() == [256, 257]


def test_tokens_without_bytes_are_never_allowed():
    class Gaps(ByteTokenizer):
        vocab_size = 300

        def token_bytes(self, token_id):
            return b"" if token_id > 256 else super().token_bytes(token_id)

    matcher = compile_constraint(Regex("(?s:.)*"), Gaps()).start()

    assert max(allowed(matcher.mask(), 300)) == 256


def test_tokenizer_without_an_eos_token_is_rejected():
    class Endless(ByteTokenizer):
        eos_token_ids = frozenset()

    with pytest.raises(ConstraintError, match="end-of-sequence token"):
        compile_constraint(Regex("a"), Endless())


def test_tokenizer_without_token_bytes_is_rejected():
    class Words(ByteTokenizer):
        def token_bytes(self, token_id):
            raise ValueError("its tokens are words")

    with pytest.raises(ConstraintError, match="its tokens are words"):
        compile_constraint(Regex("a"), Words())


def test_forced_text_is_tokenized_greedily_if_encode_changes_it():
    """Older SentencePiece vocabularies prepend a space to every text that they encode."""

    class Spaced(ByteTokenizer):
        def encode(self, text):
            return super().encode(" " + text)

    matcher = compile_constraint(ChoicesStrat(["abc"]), Spaced()).start()

    assert bytes(matcher.forced()) == b"abc"


def test_position_without_allowed_tokens_is_an_error_with_the_text_so_far():
    class NoB(ByteTokenizer):
        def token_bytes(self, token_id):
            return b"" if token_id == ord("b") else super().token_bytes(token_id)

    matcher = compile_constraint(Regex("a[b]|cd"), NoB()).start()
    matcher.extend(b"a")

    with pytest.raises(ConstraintError, match=r"Regex.* could not be enforced after 'a'"):
        matcher.mask()


@pytest.mark.process
def test_llguidance_is_imported_on_first_use_and_numpy_never():
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import concordance_sdk.constraints as c, concordance_sdk.flow\n"
        "assert 'llguidance' not in sys.modules\n"
        "from concordance_sdk.testing import play\n"
        "mod = c.constrain(c.JsonSchema({'const': 1}))\n"
        "assert play(mod, script='').text == '1'\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
