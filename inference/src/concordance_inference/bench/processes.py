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
    command = shutil.which("concordance")
    arguments = [command] if command else [sys.executable, "-m", "concordance_inference"]
    start = time.perf_counter()
    subprocess.run([*arguments, "--help"], capture_output=True, check=True)  # noqa: S603
    return (time.perf_counter() - start) * 1e3
