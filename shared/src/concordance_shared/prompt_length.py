"""The limit of a prompt's length: decided here for chat formats, the engine and mods alike."""

from concordance_shared.errors import ContextLengthError


def check_prompt_length(
    num_tokens: int,
    limit: int,
    *,
    limit_of: str = "the model's context",
    param: str = "prompt",
    remedy: str = "shorten it",
) -> None:
    """Reject a prompt that leaves no room for a completion of one token.

    Args:
        num_tokens: Tokens of the prompt.
        limit: Tokens of prompt and completion together.
        limit_of: What has this limit.
        param: Where the prompt comes from, such as a field of the request.
        remedy: What its author can do.

    Raises:
        ContextLengthError: The prompt takes all of the limit.

    Examples:
        >>> check_prompt_length(7, 8)
        >>> check_prompt_length(8, 8)
        Traceback (most recent call last):
        concordance_shared.errors.ContextLengthError: prompt: 8 tokens leave no room for a \
completion in the model's context of 8 tokens; shorten it
    """
    if num_tokens >= limit:
        raise prompt_too_long(
            f"{num_tokens} tokens", limit, limit_of=limit_of, param=param, remedy=remedy
        )


def prompt_too_long(
    size: str,
    limit: int,
    *,
    limit_of: str = "the model's context",
    param: str = "prompt",
    remedy: str = "shorten it",
) -> ContextLengthError:
    """Make the error of a prompt of a `size` in words, such as "more than 9000 characters"."""
    return ContextLengthError(
        f"{param}: {size} leave no room for a completion in {limit_of} of {limit} tokens; {remedy}",
        param=param,
    )
