"""The models that options name, and how soon wrong ones are reported."""

import subprocess
import sys

import pytest
from concordance_inference.cli.given_models import given_models
from concordance_inference.cli.options import Serve
from concordance_shared import ConcordanceError

#: Modules that a wrong setting does not import: they take seconds.
SLOW = {"mlx", "mlx_lm", "numpy", "transformers", "huggingface_hub"}


def test_models_have_their_adapters_and_aliases(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    given = given_models(Serve(model=["a=x/y"], adapter=[f"b={tmp_path}"], alias=["c=a:b"]))

    assert [spec.name for spec in given.specs] == ["a", "a:b"]
    assert given.aliases == {"c": "a:b"}


def test_a_folder_of_adapters_is_for_a_single_model(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    given_models(Serve(model=["x/y"], adapter_path=tmp_path))

    with pytest.raises(ConcordanceError, match="for a single model"):
        given_models(Serve(model=["x/y", "x/z"], adapter_path=tmp_path))


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "/nowhere"], "there is no folder or GGUF file at /nowhere"),
        (["--model", "x.gguf"], "there is no folder or GGUF file at x.gguf"),
        (["--model", "a=x/y", "--model", "a=x/z"], "are both named 'a'"),
        (["--alias", "a=b"], "--alias 'a=b': write ALIAS=NAME"),
        (["--adapter", "a=/nowhere"], "has no adapter_config.json"),
        (["--adapter-path", "/nowhere"], "--adapter-path /nowhere: it has no adapter_config.json"),
        (["--tools", "/nowhere.py"], "--tools /nowhere.py: FileNotFoundError"),
        (["--mods", "/nowhere"], "there is no file or folder of mods at /nowhere"),
        (["--cors-origins", "Foo"], "--cors-origins 'Foo' is no origin"),
        (["--allowed-hosts", "Foo:80"], "--allowed-hosts 'Foo:80' is no name of a host"),
        (["--trace-store", "/proc/a/b"], "--trace-store /proc/a/b: the file cannot be written"),
        (["--host", "0.0.0.0"], "is not a loopback address"),
        (["--max-rows", "0"], "--max-rows"),
    ],
)
def test_a_wrong_setting_is_reported_alone_and_before_slow_imports(options, said, tmp_path):
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print({SLOW!r} & sys.modules.keys()))\n"
        "from concordance_inference.cli.entry import main\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "serve", "--port", "0", *options]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert ended.returncode in (1, 2)
    assert ended.stdout == "set()\n"
    assert said in ended.stderr
    assert "BLAS" not in ended.stderr
