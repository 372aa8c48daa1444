# /// script
# requires-python = ">=3.11"
# dependencies = ["lm-eval[api]>=0.4.10,<0.5", "pytest>=9,<10"]
# ///
"""EleutherAI's harness: `local-completions` on a task of our own, in text and in token ids."""

import json
import os

import lm_eval
import pytest
from lm_eval.tasks import TaskManager

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
QUESTIONS = [
    ("France", "Paris", "Rome"),
    ("Italy", "Rome", "Paris"),
    ("Japan", "Tokyo", "Berlin"),
]
TASK = """
task: capitals
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "The capital of {{{{country}}}} is"
doc_to_choice: "{{{{[right, wrong]}}}}"
doc_to_target: 0
metric_list: [{{metric: acc}}]
"""


@pytest.fixture(name="tasks")
def _tasks(tmp_path):
    lines = [
        json.dumps({"country": country, "right": right, "wrong": wrong})
        for country, right, wrong in QUESTIONS
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    (tmp_path / "capitals.yaml").write_text(TASK.format(data=tmp_path / "data.jsonl"))
    return TaskManager(include_path=str(tmp_path), include_defaults=False)


@pytest.mark.parametrize("tokenized", [False, True])
def test_a_task_of_multiple_choice(tasks, tokenized):
    arguments = {
        "model": MODEL,
        "base_url": f"{URL}/v1/completions",
        "tokenizer_backend": "remote",
        "tokenized_requests": tokenized,
        "num_concurrent": 2,
        "max_length": 512,
    }
    results = lm_eval.simple_evaluate(
        "local-completions", model_args=arguments, tasks=["capitals"], task_manager=tasks
    )

    assert results["results"]["capitals"]["acc,none"] == 1.0
