"""Loads mods of `quote_mod_sdk` from texts."""

from concordance_inference.mods.loading import load_payload
from concordance_sdk import ModPayload

HEADER = "from quote_mod_sdk import ActionBuilder, Added, ForwardPass, Prefilled, Sampled, mod\n"

#: A mod that runs `code` with the logits `l` and the token id `x`.
LOGITS = """
import math
import numpy as np
from max.driver import CPU, Tensor
{header}

@mod
def m(event, actions, tokenizer):
    if isinstance(event, ForwardPass):
        l = event.logits.to_numpy()
        x = tokenizer.encode("x")[0]
        ids = tokenizer.encode("xy")
        {code}
"""


def upload(source, entrypoint="m"):
    payload = ModPayload(name="m", entrypoint=entrypoint, source=source)
    return load_payload(payload)[0]


def folder(tmp_path, **files):
    for path, text in files.items():
        target = tmp_path / (path.replace("__", "/") + ".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return tmp_path
