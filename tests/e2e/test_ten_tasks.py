"""The examples of the ten tasks, uploaded to a running server and used with the official client."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.process
FOLDER = Path(__file__).parents[2] / "examples" / "ten_tasks"
WITH_MLX = "watermark.py"  # which workers do not have, as the device is not theirs
FILES = sorted(
    path
    for path in FOLDER.glob("*.py")
    if not path.name.startswith("test_") and path.name != WITH_MLX
)
USER = {"role": "user", "content": "Why?"}


@pytest.fixture(name="ask")
def _ask(run, tiny_server):
    """Upload a mod, and return a function that asks for a completion with it."""
    pushed = []

    def ask(path, **fields):
        name = path.stem
        if name not in pushed:
            done = run("mods", "push", path, "--url", tiny_server.url)
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith(f"{name} ")
            pushed.append(name)
        return tiny_server.client.chat.completions.create(
            model=f"{tiny_server.model}/{name}",
            messages=[USER, {"role": "assistant", "content": "So."}, USER],
            max_tokens=60,
            seed=1,
            **fields,
        )

    yield ask
    for name in pushed:
        run("mods", "rm", name, "--url", tiny_server.url)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pushed_mod_gives_the_same_text_in_a_stream(ask, path):
    (whole,) = ask(path).choices
    chunks = [chunk for chunk in ask(path, stream=True) if chunk.choices]

    shown = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert shown == (whole.message.content or "")
    assert chunks[-1].choices[0].finish_reason == whole.finish_reason


def test_a_mod_that_needs_the_device_is_for_the_operator_only(run, tiny_server):
    done = run("mods", "push", FOLDER / WITH_MLX, "--url", tiny_server.url)

    assert done.returncode == 1
    assert "No module named 'mlx': an uploaded mod can import these: " in done.stderr


def test_pushed_mods_act(ask):
    assert ask(FOLDER / "label.py").choices[0].message.content.startswith('{"label": "')
    again = ask(FOLDER / "second_turn.py").choices[0].message.content
    assert again.startswith("As I said before:")
    (call,) = ask(FOLDER / "router.py").choices[0].message.tool_calls
    assert call.function.arguments == '{"query":"Why?"}'


def test_summary_of_probabilities_is_the_same_data_in_a_stream(ask):
    whole = ask(FOLDER / "probabilities.py")
    chunks = list(ask(FOLDER / "probabilities.py", stream=True))

    (report,) = whole.concordance["reports"]
    streamed = [
        each
        for chunk in chunks
        for each in (getattr(chunk, "concordance", None) or {}).get("reports", ())
    ]
    assert streamed == [report]
    assert report["data"].keys() == {"tokens", "mean", "least"}
    assert report["data"]["tokens"] == whole.usage.completion_tokens
