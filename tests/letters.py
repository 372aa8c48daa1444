"""Objects that tests of the older SDK build by hand: a tokenizer of letters, and logits."""

import string

import numpy as np


class Letters:
    """Each letter is a token, its code point the id. None ends a completion."""

    eos_token_id = None

    def get_vocab(self):
        return {letter: ord(letter) for letter in string.printable}

    def encode(self, text, add_special_tokens=False):
        return [ord(letter) for letter in text]

    def decode(self, token_ids, skip_special_tokens=True):
        ids = [token_ids] if isinstance(token_ids, int) else token_ids
        return "".join(chr(int(token_id)) for token_id in ids)


class LogitsTensor:
    """A row of logits with the methods of a tensor."""

    def __init__(self, size=256):
        self.array = np.zeros(size, np.float32)
        self.device = None

    def to_numpy(self):
        return self.array

    @classmethod
    def from_numpy(cls, array):
        made = cls(len(array))
        made.array = np.array(array)
        return made

    def to(self, device):
        return self
