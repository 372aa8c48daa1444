"""Every style of indexing logits, in mods that are played."""

import pytest
from concordance_sdk.testing import play
from concordance_shared import ModRaisedError
from quote_mods import HEADER, LOGITS, upload

#: The model wants `x`, then `y`, then anything else: bans of `x`, and of both.
BANS_X = [
    "l[0, x] = -1e9",
    "l[x] = -1e9",
    "l[0][x] = -1e9",
    "l[-1][x] = -1e9",
    "l[-1, x] = -1e9",
    "l[:, x] = -np.inf",
    "l[..., x] = -np.inf",
    "l[0, x:x + 1] = -np.inf",
    "l[0][x:x + 1] -= 1e9",
    "l[x:x + 1] = -np.inf",
    "l[0, [x]] = -np.inf",
    "l[[x]] = -np.inf",
    "l[np.array([x])] = -np.inf",
    "l[0][np.array([x])] = -np.inf",
    "l[l == l[0].max()] = -np.inf if np.argmax(l[0]) == x else l.max()",
    "l[0] += np.where(np.arange(l.shape[-1]) == x, -1e9, 0)",
    "l[0] = np.where(np.arange(l.shape[1]) == x, -1e9, l[0])",
    "l += np.where(np.arange(l.shape[-1]) == x, -1e9, 0)",
    "l = l + np.where(np.arange(l.shape[-1]) == x, -1e9, 0)",
    "l = np.where(np.arange(l.shape[-1])[None] == x, -1e9, l)",
    "row = l[0]; row[x] = -1e9",
    "row = l[0].copy(); row[x] = -1e9; l = row",
    "row = l.reshape(-1); row[x] = -1e9; l = row",
    "row = l.squeeze(); row[x] = -1e9",
    "row = l.flatten(); row[x] = -1e9; l = row[None, :]",
    "row = np.array(l, copy=True); row[..., x] = -1e9; l = row",
    "row = np.asarray(l).astype(np.float64); row[0, x] = -1e9; l = row",
    "for row in l: row[x] = -1e9",
    "mask = np.zeros(l.shape[-1], bool); mask[x] = True; l[..., mask] = -1e9",
    "mask = np.zeros(l.shape[-1], bool); mask[x] = True; l[mask] = -1e9",
    "mask = np.zeros(l.shape, bool); mask[0, x] = True; l[mask] = -1e9",
    "mask = np.zeros_like(l, dtype=bool); mask[:, x] = True; l = np.where(mask, -np.inf, l)",
    "l[0, x] -= 1e9",
    "l[x] -= 1e9",
    "l[0, int(np.argmax(l[0]))] = -1e9 if np.argmax(l[0]) == x else l.max()",
    "best = int(np.argmax(l)); l[0, best] = -1e9 if best == x else l[0, best]",
    "best = int(l.argmax(axis=-1)[0]); l[0, best] = -1e9 if best == x else l[0, best]",
    "best = np.argsort(l[0])[-1]; l[0, best] = -1e9 if best == x else l[0, best]",
    "best = np.argpartition(l[0], -1)[-1:]; l[0, best] = -1e9 if best[0] == x else l[0, best]",
    "np.put_along_axis(l, np.array([[x]]), -1e9, axis=1)",
    "event.logits[0, x] = -1e9; l = event.logits",
]


BACK = ["l", "Tensor.from_numpy(np.asarray(l))", "Tensor.from_numpy(l).to(CPU())", "logits=l"]


@pytest.mark.parametrize(
    ("code", "back"), [(code, BACK[i % len(BACK)]) for i, code in enumerate(BANS_X)]
)
def test_every_numpy_way_to_ban_a_token_works(code, back):
    if "event.logits[" in code and back.startswith("Tensor"):
        back = "l.to(event.logits.device)"
    code = f"{code}\n        return actions.adjust_logits({back})"
    definition = upload(LOGITS.format(header=HEADER, code=code))

    assert play(definition, script="axb").text == "a\0b"


@pytest.mark.parametrize(
    "assertion",
    [
        "l.shape == (1, 257) == event.logits.shape",
        "l.ndim == 2 and len(l) == 1 and len(l[0]) == 257 and l.size == 257",
        "np.argmax(l[0]) == np.argmax(l) == l.argmax() == x",
        "np.argmax(l, axis=-1).tolist() == np.argmax(l, axis=1).tolist() == [x]",
        "l[0].shape == l[-1].shape == l[0, :].shape == (257,) and type(l[0]) is np.ndarray",
        "l[:, ids].shape == (1, 2) and l[0, ids].shape == l[ids].shape == (2,)",
        "l[:, ids][0, 0] == l[0, x] == l[0][x] == l[x] == l.max() == event.logits[0, x]",
        "l[:10].shape == l[:].shape == l[0:1].shape == (1, 257)",
        "l[:, :10].shape == (1, 10) and l[0, :10].shape == l[0][:10].shape == (10,)",
        "np.max(l, axis=1, keepdims=True).shape == (1, 1) and np.max(l, axis=1).shape == (1,)",
        "abs(np.exp(l - l.max()).sum(axis=-1)[0] - np.exp(l[0] - l[0].max()).sum()) < 1e-3",
        "l.reshape(-1)[0] == l[0][0] == l[0, 0] == l.flatten()[0] == l.ravel()[0]",
        "l.squeeze()[0] == l[0, 0] and l.squeeze().shape == (257,)",
        "[row.shape for row in l] == [(257,)]",
        "l.tolist()[0][x] == l[0, x] and len(l.tolist()) == 1",
        "(event.logits / 2.0).max() == l.max() / 2 and np.argmax(event.logits) == x",
        "np.asarray(event.logits).shape == (1, 257)",
        "event.logits.device is not None and event.logits.dtype == np.float32",
        "event.logits.rank == 2 and event.logits.num_elements == 257",
        "event.top_k_logprob(3)[1][0][0] == x and event.top_k_logprob(3)[0].shape == (1, 3)",
        "isinstance(event.logits, Tensor) and type(event.logits).from_numpy(l).to_numpy() is l",
        "math.isclose(float(l[0][x]), float(l[0, x]))",
    ],
)
def test_logits_have_the_shape_of_one_row(assertion):
    code = f"if event.step == 1: assert {assertion}"
    definition = upload(LOGITS.format(header=HEADER, code=code))

    assert play(definition, script="axb").text == "axb"


@pytest.mark.parametrize("code", ["l[1, x]", "l[2][x]", "np.array(l)[x]", "l[0, 999]", "l[0][999]"])
def test_indexing_beyond_the_row_is_an_error(code):
    definition = upload(LOGITS.format(header=HEADER, code=code))

    with pytest.raises(ModRaisedError, match="IndexError"):
        play(definition, script="axb")


def test_logits_of_another_shape_are_rejected():
    definition = upload(LOGITS.format(header=HEADER, code="return actions.adjust_logits(l[:, :9])"))

    with pytest.raises(Exception, match=r"shape \(1, 9\) instead of \(257,\)"):
        play(definition, script="a")
