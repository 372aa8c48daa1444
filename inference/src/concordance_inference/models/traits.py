"""What the engine needs to know of a model besides its weights."""

from concordance_inference.engine.config import ModelTraits
from concordance_inference.models.control_ids import control_ids, header_ids
from concordance_inference.models.tokenizer import ModelTokenizer


def traits_of(tokenizer: ModelTokenizer, *, context_length: int) -> ModelTraits:
    """Return the traits of a model with this tokenizer.

    Args:
        tokenizer: The model's tokenizer.
        context_length: Limit of a prompt and its completion together, in tokens.
    """
    return ModelTraits(
        tokenizer=tokenizer,
        new_decoder=tokenizer.new_decoder,
        vocab_size=tokenizer.vocab_size,
        eos_ids=tokenizer.eos_token_ids,
        missing_ids=tokenizer.missing_ids,
        context_length=context_length,
        control_ids=control_ids(tokenizer),
        header_ids=header_ids(tokenizer),
        format_ids=tokenizer.eos_token_ids | {*tokenizer.encode("\n")},
    )
