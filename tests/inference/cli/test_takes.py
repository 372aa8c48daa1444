"""A command's options come from the command line, then from variables, then from a file."""

import concordance_inference.cli.main  # noqa: F401  # declares the settings of all commands
import pytest
import typer
from concordance_inference.cli.options import Generate, Serve, WatchMod
from concordance_inference.cli.takes import takes
from typer.testing import CliRunner


@pytest.fixture(name="run")
def _run(tmp_path, monkeypatch):
    """Run a command in an empty folder; return its options, or its exit status and output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(options, command, *arguments, **environ):
        seen = []
        made = typer.Typer()
        made.command()(takes(options, settings_of=command)(seen.append))
        variables = {f"CONCORDANCE_{name}": text for name, text in environ.items()}
        done = CliRunner().invoke(made, arguments, env=variables)
        return seen[0] if seen else done

    return run


@pytest.fixture(name="write")
def _write(tmp_path):
    return (tmp_path / "concordance.toml").write_text


def test_command_line_wins_over_variables_over_the_file(run, write):
    write("port = 1\nmax_rows = 1\nchunk = 1\n")

    options = run(Serve, "serve", "--port", "3", PORT="2", MAX_ROWS="2")

    assert (options.port, options.max_rows, options.chunk) == (3, 2, 1)


def test_option_on_the_command_line_wins_even_with_its_default_value(run, write):
    write("port = 1\nadaptive_chunks = true")

    options = run(Serve, "serve", "--port", "8000", "--no-adaptive-chunks")

    assert (options.port, options.adaptive_chunks) == (8000, False)


def test_config_names_a_file(run, tmp_path, write):
    write("port = 1")
    (tmp_path / "other.toml").write_text("port = 2")

    assert run(Serve, "serve", "--config", "other.toml").port == 2
    assert run(Serve, "serve", CONFIG="other.toml").port == 2


def test_wrong_setting_ends_the_command_with_status_2(run, write):
    write("prot = 1")

    done = run(Serve, "serve")

    assert done.exit_code == 2
    shown = " ".join(done.output.split())
    assert "concordance.toml:1: unknown key 'prot'; did you mean" in shown
    assert "'port'" in shown


def test_help_is_shown_despite_a_wrong_setting(run, write):
    write("prot = 1")

    assert run(Serve, "serve", "--help").exit_code == 0


def test_url_of_a_variable_gives_way_to_a_model_of_the_command_line(run):
    url = "http://127.0.0.1:9"

    assert run(Generate, "generate", "hi", URL=url).url == url
    assert run(Generate, "generate", "hi", "--model", "m", URL=url).url is None
    assert run(Generate, "generate", "hi", "--raw", URL=url).url is None
    assert run(WatchMod, "mods_watch", "x.py", "--says", "y", URL=url).url is None


def test_url_leaves_out_the_model_of_the_file(run, write):
    write('model = "m"\ncontext_length = 9\ntemperature = 1.0')

    options = run(Generate, "generate", "hi", "--url", "http://127.0.0.1:9")

    assert (options.model, options.context_length, options.temperature) == (None, None, 1.0)
    both = run(Generate, "generate", "hi", "--url", "http://127.0.0.1:9", "--model", "x")
    assert (both.url, both.model) == ("http://127.0.0.1:9", "x")  # the command refuses it


def test_settings_in_force_are_announced_with_their_sources(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, seen = typer.Typer(), []
    made.command()(takes(Serve, settings_of="serve", announces=True)(seen.append))
    (tmp_path / "concordance.toml").write_text("port = 1\nchunk = 2")

    done = CliRunner().invoke(made, ["--chunk", "3"], env={"CONCORDANCE_HOST": "::1"})

    place = tmp_path / "concordance.toml"
    assert done.stderr == f"… host is set by CONCORDANCE_HOST\n… port is set by {place}:1\n"
