import o200k
from concordance_inference.harmony.vocabulary import harmony_tokens

IDS = {name: token_id for token_id, name in o200k.SPECIAL.items()}


def test_the_tokens_of_gpt_oss_are_found_by_name():
    tokens = harmony_tokens(IDS)
    assert (tokens.start, tokens.message, tokens.channel) == (200006, 200008, 200005)
    assert tokens.stop_ids == {200002, 200012, 199999}
    assert tokens.closing == {200002, 200012, 199999, 200007}


def test_a_vocabulary_without_one_of_the_tokens_is_not_harmony():
    for name in ("<|start|>", "<|call|>", "<|endoftext|>", "<|return|>"):
        assert harmony_tokens({k: v for k, v in IDS.items() if k != name}) is None
