"""The declared options become typer commands, and what the commands need."""

from dataclasses import fields

import pytest
import typer
from concordance_inference.cli.main import app
from concordance_inference.cli.options import Chat, Generate, ModelArgs, Serve
from concordance_inference.cli.takes import takes
from concordance_inference.engine.config import EngineConfig
from concordance_inference.generation import SamplingParams
from concordance_inference.models.options import ModelOptions
from typer.testing import CliRunner


def test_the_defaults_of_serve_are_those_of_the_engine_and_the_loader():
    assert Serve().config == EngineConfig(max_waiting_per_owner=8, queue_s=60.0)
    assert Serve().model_options == ModelOptions()


def test_serve_has_an_option_for_each_limit_of_the_engine():
    config = Serve(
        max_rows=2,
        max_waiting=3,
        chunk=4,
        adaptive_chunks=True,
        latency_target=50,
        kv_memory=1.5,
        prefix_memory=0.0,
        step_limit=5.0,
        max_paused=2,
        pause_limit=5.0,
        end_paused=True,
        resume_seconds=60,
    ).config

    defaults = EngineConfig()
    # `num_candidates` is no limit: tokens do not depend on it.
    for name in {*EngineConfig.__struct_fields__} - {"num_candidates"}:
        assert getattr(config, name) != getattr(defaults, name), name
    assert (config.kv_bytes, config.prefix_bytes) == (1_500_000_000, 0)


def test_sampling_options_are_sampling_parameters():
    options = Generate(prompt="x", temperature=0.5, top_p=0.9, top_k=3, min_p=0.1, seed=4)

    given = {"temperature": 0.5, "top_p": 0.9, "top_k": 3, "min_p": 0.1, "seed": 4}
    assert options.sampling == given
    assert SamplingParams(**given)


def test_generate_is_greedy_and_chat_has_the_models_defaults():
    assert Generate(prompt="x").sampling == {"temperature": 0.0}
    assert (Chat().max_tokens, Chat().sampling) == (512, {})


def test_sampling_defaults_are_an_option_of_loading():
    assert ModelArgs(sampling_defaults="openai").model_options.sampling_defaults == "openai"
    done = CliRunner().invoke(app, ["serve", "--sampling-defaults", "none"])
    assert (done.exit_code, "--sampling-defaults" in done.output) == (2, True)


def test_an_unknown_option_is_an_error():
    with pytest.raises(TypeError, match="max_row"):
        Serve(max_row=3)
    done = CliRunner().invoke(app, ["serve", "--max-row", "3"])
    assert done.exit_code == 2
    assert "--max-row" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-rows", "0"], "--max-rows"),
        (["--port", "65536"], "--port"),
        (["--kv-memory", "-1"], "--kv-memory"),
        (["--chunk", "many"], "--chunk"),
    ],
)
def test_an_option_out_of_bounds_is_refused_by_its_name(arguments, words):
    done = CliRunner().invoke(app, ["serve", *arguments])

    assert done.exit_code == 2
    assert words in done.output


def test_a_command_is_called_with_its_options():
    seen = []
    command = typer.Typer()
    command.command()(takes(ModelArgs, settings_of="")(seen.append))

    done = CliRunner().invoke(command, ["--model", "m", "--context-length", "9"])
    assert done.exit_code == 0, done.output
    assert seen == [ModelArgs(model="m", context_length=9)]


def test_lists_are_not_shared_between_calls():
    assert Serve().mods is not Serve().mods
    assert all(option.kw_only for option in fields(Serve))
