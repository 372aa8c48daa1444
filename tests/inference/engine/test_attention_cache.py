"""What a windowed group keeps, what it can go back to, and what it re-reads."""

import mlx.core as mx
import numpy as np
import pytest
from concordance_inference.engine import attention_cache
from concordance_inference.engine.attention_cache import AttentionGroup
from concordance_inference.engine.batch_cache import BatchCache
from concordance_sdk import Added, mod
from concordance_shared import ModelLoadError
from mlx_lm.models import mamba
from tiny import ask, fresh_logits, make_engine, model_named, run


def read(group, lengths, values, rows=None):
    """Write `values` (rows x tokens) behind `lengths`; return what the queries may look at."""
    rows = rows or slice(0, group.num_rows)
    group.begin(rows, lengths[rows], len(values[0]))
    data = mx.array(values, mx.float32)[:, None, :, None]
    keys, _ = group.layers[0].update_and_fetch(data, data)
    return keys[:, 0, :, 0].tolist()


@pytest.fixture(autouse=True)
def _small_buffers(monkeypatch):
    monkeypatch.setattr(attention_cache, "GROWTH", 4)


def make_group(num_rows, **options):
    group = AttentionGroup(1, **options)
    group.rebuild((), num_rows)
    return group


def test_rows_are_written_behind_their_own_lengths():
    group = make_group(2)
    read(group, [0, 0], [[1, 2, 3], [4, 5, 6]])
    seen = read(group, [1, 3], [[7], [8]])

    assert [seen[0][:2], seen[1]] == [[1, 7], [4, 5, 6, 8]]


def test_one_row_can_be_written_alone():
    group = make_group(3)
    read(group, [0, 0, 0], [[1], [2], [3]])

    assert read(group, [1, 1, 1], [[9, 9]], slice(1, 2)) == [[2, 9, 9]]
    assert read(group, [1, 3, 1], [[5]], slice(2, 3)) == [[3, 5]]


def test_a_window_keeps_what_its_queries_see_and_a_margin():
    group = make_group(1, window=4, margin=2)
    for position in range(30):
        seen = read(group, [position], [[position]])
        assert seen == [list(map(float, range(max(0, position - 3), position + 1)))]

    assert group.capacity <= 4 + 2 + 2 * 4


@pytest.mark.parametrize(("back", "reachable"), [(0, True), (2, True), (12, False), (20, False)])
def test_going_back_is_possible_as_far_as_keys_are_kept(back, reachable):
    group = make_group(1, window=4, margin=2)
    for position in range(20):
        read(group, [position], [[position]])

    assert group.can_reach(0, 20 - back) == reachable


def test_everything_can_be_reached_before_anything_was_dropped():
    group = make_group(1, window=4, margin=2)
    for position in range(8):
        read(group, [position], [[position]])

    assert all(group.can_reach(0, length) for length in range(9))


def test_rows_with_windows_of_their_own_see_their_own_past():
    group = make_group(2, window=3, margin=1)
    lengths = [0, 0]
    read(group, lengths, [[100 + i for i in range(9)]], slice(0, 1))
    lengths = [9, 0]
    read(group, lengths, [[200]], slice(1, 2))
    lengths = [9, 1]
    for step in range(12):
        seen = read(group, lengths, [[109 + step], [201 + step]])
        mask = np.array(group.mask(None, as_array=False))[:, 0, 0]
        visible = [
            [k for k, m in zip(row, bits, strict=True) if m]
            for row, bits in zip(seen, mask, strict=True)
        ]
        assert visible[0] == [107 + step, 108 + step, 109 + step]
        assert visible[1] == [200.0 + i for i in range(step + 2)][-3:]
        lengths = [lengths[0] + 1, lengths[1] + 1]


def test_rows_can_leave_and_join():
    group = make_group(3)
    read(group, [0, 0, 0], [[1, 1], [2, 2], [3, 3]])
    group.rebuild([2, 0], 1)

    seen = read(group, [2, 2, 0], [[7], [8], [9]])

    assert [seen[0], seen[1], seen[2][:1]] == [[3, 3, 7], [1, 1, 8], [9]]


def test_an_empty_batch_holds_nothing():
    group = make_group(2)
    read(group, [0, 0], [[1], [2]])
    group.rebuild((), 0)

    assert group.layers[0].keys is None
    assert group.capacity == 0


@pytest.mark.parametrize(
    ("num_tokens", "length", "as_array", "expected"),
    [(1, 5, False, None), (4, 5, False, "causal"), (4, 0, False, "causal")],
)
def test_a_single_row_needs_no_array_for_a_mask(num_tokens, length, as_array, expected):
    group = make_group(1)
    group.begin(slice(0, 1), [length], num_tokens)

    assert group.mask(None, as_array=as_array) == expected


def test_a_mask_in_words_and_as_an_array_say_the_same():
    group = make_group(1)
    group.begin(slice(0, 1), [2], 3)

    assert np.array(group.mask(None, as_array=True)).astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]


def test_a_model_may_ask_for_a_narrower_window():
    group = make_group(1)
    group.begin(slice(0, 1), [4], 2)

    assert np.array(group.mask(3, as_array=False)).astype(int).tolist() == [
        [0, 0, 1, 1, 1, 0],
        [0, 0, 0, 1, 1, 1],
    ]


def test_what_a_window_has_dropped_is_read_again_and_right():
    """A deep backtrack on a sliding-window model: wrong caches say something else."""
    model = model_named("gpt_oss")

    fixes = [1]

    @mod(on=[Added], max_backtrack=None)
    def deep(event, actions):
        if event.step == 39 and fixes:
            fixes.pop()
            return actions.backtrack(38, b"instead")

    answers = run(make_engine(model, margin=4), ask("Hello", deep, max_tokens=45))
    ids = list(b"Hello") + list(answers.ids[:9])
    for token_id in answers.ids[9:]:
        assert int(mx.argmax(fresh_logits(model, ids)).item()) == token_id
        ids.append(token_id)


def test_a_model_with_another_kind_of_cache_is_refused_by_its_name():
    args = mamba.ModelArgs(
        model_type="mamba",
        vocab_size=257,
        hidden_size=32,
        intermediate_size=64,
        state_size=8,
        num_hidden_layers=2,
        conv_kernel=4,
        use_bias=False,
        use_conv_bias=True,
        time_step_rank=4,
    )

    with pytest.raises(ModelLoadError, match="ArraysCache"):
        BatchCache(mamba.Model(args))
