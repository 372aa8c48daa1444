"""The table of mlx-lm's model files: complete, in the docs, and still right."""

import pytest
from model_files import table
from model_files.configs import model_files
from model_files.outcome import Verdict, outcome_of

ANEW = "run `PYTHONPATH=tests uv run python -m model_files --write`"

#: A model file for each kind of outcome.
SAMPLE = (
    *("plamo3", "afm7", "llama4", "gemma3n", "mimo_v2_flash", "longcat_flash_ngram"),
    *("minimax_m3_vl", "kimi_linear", "nemotron-nas"),
)


def test_every_model_file_of_the_installed_mlx_lm_is_in_the_table():
    assert sorted(table.read_outcomes()) == model_files(), ANEW


def test_the_docs_contain_the_table_of_model_files():
    page = table.PAGE.read_text()

    assert table.with_generated(page, table.read_outcomes()) == page, ANEW


def test_no_model_file_has_the_outcome_wrong():
    wrong = [o.name for o in table.read_outcomes().values() if o.verdict is Verdict.WRONG]

    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", SAMPLE)
def test_model_file_has_the_outcome_in_the_table(name):
    known, seen = table.read_outcomes()[name], outcome_of(name)

    assert (seen.verdict, seen.sharing) == (known.verdict, known.sharing), seen
