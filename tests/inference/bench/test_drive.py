"""Both engines do the same work, else their speeds would be of different things."""

from concordance_inference.bench import drive, mlx_lm_drive
from mlx_lm import stream_generate


def test_both_engines_generate_the_same_and_as_much_as_they_are_asked_for(subject):
    prompt = subject.prompt(5)
    theirs = [
        r.token for r in stream_generate(subject.model, subject.tokenizer, prompt, max_tokens=9)
    ]
    (ours,) = drive.run(subject.engine(), drive.request(prompt, 9))

    assert ours.token_ids == tuple(theirs)
    assert ours.completion_tokens == 9


def test_a_rate_is_measured_again_and_again_on_one_engine(subject):
    engine = subject.engine()
    requests = [[drive.request(subject.prompt(5), 9) for _ in range(3)] for _ in range(2)]

    assert all(drive.decode_rate(engine, *asked) > 0 for asked in requests)
    assert not engine.has_work


def test_a_long_context_is_as_it_was_after_decoding_behind_it(subject):
    context = mlx_lm_drive.LongContext(subject, subject.prompt(40))
    before = context._cache[0].offset

    assert context.decode_rate(6) > 0
    assert context._cache[0].offset == before == 39


def test_taking_back_and_forcing_are_timed(subject):
    engine = subject.engine()
    cost = drive.take_back(engine, subject.prompt(10), 4)

    assert cost.usual > 0
    assert abs(cost.added) < 100 * cost.usual
    assert drive.force_seconds(engine, subject.prompt(4), subject.prompt(20)) > 0


def test_prompts_are_the_same_every_time(subject):
    assert subject.prompt(9, seed=3) == subject.prompt(9, seed=3) != subject.prompt(9, seed=4)
