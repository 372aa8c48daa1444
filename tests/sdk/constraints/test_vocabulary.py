"""The tokens of a tokenizer as llguidance sees them."""

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


def test_it_is_made_once_for_a_tokenizer_and_goes_with_it():
    tokenizer = ByteTokenizer()
    vocabulary = vocabulary_of(tokenizer)
    compile_constraint(Regex("a+"), tokenizer).start()
    assert vocabulary_of(tokenizer) is vocabulary

    gone = weakref.ref(vocabulary)
    del tokenizer, vocabulary
    gc.collect()
    assert gone() is None


def test_an_answer_keeps_what_it_needs_alive():
    matcher = compile_constraint(ChoicesStrat(["abc"]), ByteTokenizer()).start()
    gc.collect()

    assert bytes(matcher.forced()) == b"abc"
    matcher.extend(b"abc")
    assert matcher.text == "abc"


def test_equal_constraints_share_what_was_compiled():
    tokenizer = ByteTokenizer()
    for _ in range(3):
        compile_constraint(ChoicesStrat(["a", "b"]), tokenizer).start()

    assert len(vocabulary_of(tokenizer)._prototypes) == 1


def test_a_special_token_is_never_written_as_text():
    tokenizer = smollm()
    (eos,) = tokenizer.eos_token_ids
    name = tokenizer.decode([eos])
    matcher = compile_constraint(ChoicesStrat([name]), tokenizer).start()
    matcher.extend(matcher.forced())

    assert matcher.is_complete
    assert matcher.text == name
    assert eos not in matcher.token_ids


def test_a_grammar_may_ask_for_a_special_token_by_its_name():
    tokenizer = smollm()
    (start,) = tokenizer.encode("<|im_start|>")
    matcher = compile_constraint(Grammar('start: <|im_start|> "user"'), tokenizer).start()
    assert allowed(matcher.mask(), tokenizer.vocab_size).tolist() == [start]

    matcher.extend([start])
    assert tokenizer.decode(matcher.forced()) == "user"


def test_a_special_token_that_a_model_does_not_have_is_refused_by_its_name():
    grammar = Grammar('start: <|nobody_has_this|> "user"')

    with pytest.raises(ConstraintError, match=r"Grammar.*<\|nobody_has_this\|>"):
        compile_constraint(grammar, smollm())


class Two(ByteTokenizer):
    """Bytes, and two tokens that end a completion."""

    vocab_size = 258
    eos_token_ids = frozenset({256, 257})
    special_token_ids = eos_token_ids

    def token_bytes(self, token_id):
        return b"<end>" if token_id == 257 else super().token_bytes(token_id)


def test_every_token_that_ends_a_completion_may_end_an_answer():
    tokenizer = Two()
    matcher = compile_constraint(ChoicesStrat(["a", "ab"]), tokenizer).start()
    matcher.extend(b"a")
    assert allowed(matcher.mask(), 258).tolist() == [ord("b"), 256, 257]

    matcher.extend([257])
    assert matcher.is_complete
    matcher.rollback(1)
    matcher.extend(b"b")
    assert allowed(matcher.mask(), 258).tolist() == [256, 257]


def test_tokens_that_stand_for_nothing_are_never_allowed():
    class Gaps(ByteTokenizer):
        vocab_size = 300

        def token_bytes(self, token_id):
            return b"" if token_id > 256 else super().token_bytes(token_id)

    matcher = compile_constraint(Regex("(?s:.)*"), Gaps()).start()

    assert max(allowed(matcher.mask(), 300)) == 256


def test_a_tokenizer_without_an_end_is_refused():
    class Endless(ByteTokenizer):
        eos_token_ids = frozenset()

    with pytest.raises(ConstraintError, match="token that ends a completion"):
        compile_constraint(Regex("a"), Endless())


def test_a_tokenizer_whose_tokens_are_no_bytes_is_refused():
    class Words(ByteTokenizer):
        def token_bytes(self, token_id):
            raise ValueError("its tokens are words")

    with pytest.raises(ConstraintError, match="its tokens are words"):
        compile_constraint(Regex("a"), Words())


def test_text_that_a_tokenizer_spells_otherwise_is_spelled_by_other_tokens():
    """Older SentencePiece vocabularies put a space before every text that they split."""

    class Spaced(ByteTokenizer):
        def encode(self, text):
            return super().encode(" " + text)

    matcher = compile_constraint(ChoicesStrat(["abc"]), Spaced()).start()

    assert bytes(matcher.forced()) == b"abc"


def test_a_vocabulary_that_cannot_go_on_is_an_error_that_says_where():
    class NoB(ByteTokenizer):
        def token_bytes(self, token_id):
            return b"" if token_id == ord("b") else super().token_bytes(token_id)

    matcher = compile_constraint(Regex("a[b]|cd"), NoB()).start()
    matcher.extend(b"a")

    with pytest.raises(ConstraintError, match=r"Regex.* could not be enforced behind 'a'"):
        matcher.mask()


@pytest.mark.process
def test_who_constrains_nothing_does_not_load_llguidance_and_nobody_needs_numpy():
    code = (
        "import sys; sys.modules['numpy'] = None\n"
        "import concordance_sdk.constraints as c, concordance_sdk.flow\n"
        "assert 'llguidance' not in sys.modules\n"
        "from concordance_sdk.testing import play\n"
        "mod = c.constrain(c.JsonSchema({'const': 1}))\n"
        "assert play(mod, script='').text == '1'\n"
    )

    subprocess.run([sys.executable, "-c", code], check=True)
