"""Measurements in fresh processes: imports, and mlx-lm without our BLAS."""

import json
import shutil
import subprocess
import sys
import time

_PREFILL = """
import json, sys, time
import mlx.core as mx
from mlx_lm import load, stream_generate

folder, prompt = sys.argv[1], json.loads(sys.argv[2])
model, tokenizer = load(folder)
for _ in stream_generate(model, tokenizer, prompt[:8], max_tokens=1):
    pass
start = time.perf_counter()
for _ in stream_generate(model, tokenizer, prompt, max_tokens=1):
    pass
print(len(prompt) / (time.perf_counter() - start))
"""


def prefill_as_installed(folder: str, prompt_ids: list[int]) -> float:
    """Measure mlx-lm's prefill in tokens per second, in a process without our BLAS."""
    command = [sys.executable, "-c", _PREFILL, folder, json.dumps(prompt_ids)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    return float(done.stdout.split()[-1])


def import_ms(module: str, *, without: str = "sys") -> float:
    """Measure an import in a fresh interpreter, in milliseconds.

    Args:
        module: The module to import.
        without: A module to hide, as if it were not installed.
    """
    hide = f"sys.modules[{without!r}] = None; " if without != "sys" else ""
    code = (
        f"import sys, time; {hide}start = time.perf_counter(); "
        f"import {module}; print((time.perf_counter() - start) * 1e3)"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def help_ms() -> float:
    """Measure `concordance --help`, in milliseconds."""
    start = time.perf_counter()
    subprocess.run([*_concordance(), "--help"], capture_output=True, check=True)  # noqa: S603
    return (time.perf_counter() - start) * 1e3


def first_token_ms(command: str, folder: str) -> float:
    """Measure the time from a command to the first text of its reply, in milliseconds.

    Args:
        command: `generate` or `chat` of Concordance, or `mlx_lm.generate`.
        folder: The model.
    """
    model = ["--model", folder, "--max-tokens", "1"]
    if command == "mlx_lm.generate":  # prints a line before the text
        mlx_lm = [sys.executable, "-m", "mlx_lm", "generate", "--prompt", "Hi", "--temp", "0"]
        return _first_output_ms([*mlx_lm, *model], b"==========\n")
    arguments = ["generate", "Hi"] if command == "generate" else [command]
    return _first_output_ms([*_concordance(), *arguments, *model], b"")


def _first_output_ms(arguments: list[str], before: bytes) -> float:
    """The time until a process has written more than `before`. It gets `Hi` as its input."""
    start = time.perf_counter()
    with subprocess.Popen(  # noqa: S603
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Hi\n")
        process.stdin.close()
        written = process.stdout.read(len(before) + 1)
        elapsed = time.perf_counter() - start
        process.stdout.read()
    if not written.startswith(before) or process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} wrote {written!r} ({process.returncode})")
    return elapsed * 1e3


def _concordance() -> list[str]:
    command = shutil.which("concordance")
    return [command] if command else [sys.executable, "-m", "concordance_inference"]
