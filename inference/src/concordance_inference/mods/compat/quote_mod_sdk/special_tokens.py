"""Special tokens of a tokenizer, under the names of `transformers`."""

from typing import Any

from concordance_sdk import Tokenizer


class SpecialTokens:
    """The special tokens of a tokenizer: ids (`eos_token_id`) and names (`eos_token`)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Wrap a tokenizer."""
        self._tokenizer = tokenizer
        self._hf: Any = getattr(tokenizer, "hf", None)

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of all special tokens; with `transformers`, of those that have a role."""
        ids: Any = getattr(self._hf, "all_special_ids", self._tokenizer.special_token_ids)
        return sorted(int(token_id) for token_id in ids)

    @property
    def all_special_tokens(self) -> list[str]:
        """The names of all special tokens."""
        return [str(self._token_name(token_id)) for token_id in self.all_special_ids]

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """Role (`eos_token`) -> name."""
        roles = {f"{role}_token": self._name_of(role) for role in ("bos", "eos", "unk", "pad")}
        return {role: name for role, name in roles.items() if name is not None}

    @property
    def eos_token_id(self) -> int | None:
        """The end-of-sequence token; one of them if there are several."""
        known = self._id_of("eos_token_id")
        ends = self._tokenizer.eos_token_ids
        return known if known in ends else min(ends, default=None)

    @property
    def bos_token_id(self) -> int | None:
        """The begin-of-sequence token."""
        return self._id_of("bos_token_id")

    @property
    def pad_token_id(self) -> int | None:
        """The padding token."""
        return self._id_of("pad_token_id")

    @property
    def unk_token_id(self) -> int | None:
        """The unknown token."""
        return self._id_of("unk_token_id")

    @property
    def eos_token(self) -> str | None:
        """Name of the end-of-sequence token."""
        return self._name_of("eos")

    @property
    def bos_token(self) -> str | None:
        """Name of the begin-of-sequence token."""
        return self._name_of("bos")

    @property
    def pad_token(self) -> str | None:
        """Name of the padding token."""
        return self._name_of("pad")

    @property
    def unk_token(self) -> str | None:
        """Name of the unknown token."""
        return self._name_of("unk")

    def _token_name(self, token_id: int) -> Any:
        if self._hf is not None:
            return self._hf.convert_ids_to_tokens(token_id)
        return self._tokenizer.decode([token_id])

    def _name_of(self, role: str) -> str | None:
        token_id = getattr(self, f"{role}_token_id")
        return None if token_id is None else str(self._token_name(token_id))

    def _id_of(self, name: str) -> int | None:
        found = getattr(self._hf, name, getattr(self._tokenizer, name, None))
        return found if isinstance(found, int) else None
