import logging

import o200k
from concordance_inference.chat.formats import chat_format_of
from concordance_inference.chat.template import ChatTemplate
from concordance_inference.harmony.format import HarmonyFormat
from concordance_inference.models.tokenizer import ModelTokenizer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast


def wrapped(fast):
    hf = PreTrainedTokenizerFast(tokenizer_object=fast)
    return ModelTokenizer(hf, eos_token_ids=[0], vocab_size=len(hf))


def bytes_tokenizer(*special):
    names = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Tokenizer(models.BPE(vocab={name: i for i, name in enumerate(names)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens([AddedToken(name, special=True) for name in special])
    return wrapped(fast)


def test_models_without_the_tokens_of_harmony_use_their_chat_template(caplog):
    assert isinstance(chat_format_of(bytes_tokenizer("<|start|>", "<|end|>")), ChatTemplate)
    assert not caplog.records


def test_models_with_the_vocabulary_of_gpt_oss_use_harmony():
    chat = chat_format_of(wrapped(Tokenizer.from_file(str(o200k.tokenizer_json()))))
    assert isinstance(chat, HarmonyFormat)


def test_harmony_tokens_in_another_vocabulary_fall_back_to_the_template_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        chat = chat_format_of(bytes_tokenizer(*o200k.SPECIAL.values()))
    assert isinstance(chat, ChatTemplate)
    assert chat.harmony is None
    assert "not the vocabulary of gpt-oss" in caplog.text
