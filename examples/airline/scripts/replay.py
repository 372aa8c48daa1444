"""Replay the recordings with a real model, to measure how well it understands the customer.

uv run concordance serve --mods examples/airline
uv run python examples/airline/scripts/replay.py http://127.0.0.1:8000
"""

import json
import sys
from pathlib import Path

from openai import OpenAI

HERE = Path(__file__).parent.parent
NOW = "2025-05-15T15:00:00Z"  # when the recordings were made


def answer(client, model, messages, tools):
    """Return the agent's reply: tool calls, or a text."""
    sent = [{k: v for k, v in message.items() if k != "understood"} for message in messages]
    mods = [{"name": "airline", "params": {"now": NOW}}]
    completion = client.chat.completions.create(
        model=model, messages=sent, tools=tools, temperature=0, extra_body={"mods": mods}
    )
    return said(completion.choices[0].message.model_dump())


def said(message):
    """Return a message's tool calls without ids, or its text."""
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    calls = [(function["name"], json.loads(function["arguments"])) for function in functions]
    return calls or message["content"]


def main(url):
    """Print how many replies of each recording are as recorded."""
    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    model = client.models.list().data[0].id
    tools = json.loads((HERE / "tools.json").read_text("utf-8"))
    for path in sorted((HERE / "conversations").glob("*.json")):
        messages = json.loads(path.read_text("utf-8"))
        places = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        same = [answer(client, model, messages[:i], tools) == said(messages[i]) for i in places]
        print(f"{sum(same)} of {len(same)}  {path.stem}")


if __name__ == "__main__":
    main(sys.argv[1])
