import pytest
from concordance_inference.bench.figures import Effort
from concordance_inference.bench.subjects import subject_of, tiny_subject
from concordance_inference.models.loader import load_model
from tiny_folder import write_tiny_folder


@pytest.fixture(name="subject", scope="session")
def _subject(tmp_path_factory):
    """The benchmark's tiny model with a byte vocabulary."""
    folder = write_tiny_folder(tmp_path_factory.mktemp("bench") / "tiny")
    loaded = load_model(str(folder))
    return tiny_subject(subject_of(loaded))


@pytest.fixture(name="effort")
def _effort():
    """The least effort that measures every group."""
    return Effort(
        rounds=1,
        decode_tokens=12,
        prefill_tokens=32,
        contexts=(40,),
        batches=(1, 2),
        long_prompt=60,
        short_requests=160,
    )
