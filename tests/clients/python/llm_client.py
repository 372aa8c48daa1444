# /// script
# requires-python = ">=3.11"
# dependencies = ["llm>=0.30,<1", "pytest>=9,<10"]
# ///
"""The command `llm`: text, streams, tools, schemas, errors, and an interrupt."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

URL, MODEL = os.environ["CONCORDANCE_URL"], os.environ["CONCORDANCE_MODEL"]
AGENT = os.environ["CONCORDANCE_AGENT"]  # a model that calls tools
WEATHER = """
def get_weather(city: str) -> str:
    'The weather of a city.'
    return f"rain in {city}"
"""


@pytest.fixture(name="llm", scope="module")
def _llm(tmp_path_factory):
    home = tmp_path_factory.mktemp("llm")
    models = [
        {
            "model_id": name,
            "model_name": served,
            "api_base": f"{URL}/v1",
            "supports_schema": True,
            "supports_tools": True,
        }
        for name, served in (("local", MODEL), ("local-agent", AGENT))
    ]
    (home / "extra-openai-models.yaml").write_text(json.dumps(models))
    environment = {**os.environ, "LLM_USER_PATH": str(home)}

    def start(*arguments):
        command = [sys.executable, "-m", "llm", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, **pipes)

    return start


def ended(process):
    output, error = process.communicate(timeout=120)
    return process.returncode, output, error


@pytest.mark.parametrize("options", [(), ("--no-stream",)])
def test_text(llm, options):
    question = "What is the capital of France?"
    limits = ("-o", "temperature", "0", "-o", "max_tokens", "24")
    status, output, error = ended(llm("-m", "local", *limits, *options, question))

    assert (status, output.strip()) == (0, "The capital of France is Paris."), error


def test_a_tool(llm):
    question = "What is the weather?"
    status, output, error = ended(llm("-m", "local-agent", "--functions", WEATHER, question))

    assert (status, output.strip()) == (0, "The tool says: rain in Paris"), error


def test_a_schema(llm):
    schema = json.dumps(
        {
            "type": "object",
            "properties": {"name": {"type": "string", "maxLength": 20}},
            "required": ["name"],
            "additionalProperties": False,
        }
    )
    status, output, error = ended(llm("-m", "local", "--schema", schema, "Name a city."))

    assert status == 0, error
    assert set(json.loads(output)) == {"name"}


def test_an_error_keeps_its_message(llm):
    bias = ("-o", "logit_bias", '{"9999999": 1}')
    status, _, error = ended(llm("-m", "local", *bias, "Hi"))

    assert status != 0
    assert "logit_bias" in error


def test_an_interrupt_ends_the_command(llm):
    process = llm("-m", "local", "Count to one thousand.")
    time.sleep(3)
    process.send_signal(signal.SIGINT)

    assert ended(process)[0] != 0
