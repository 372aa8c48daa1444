"""The table of legal actions, in Markdown."""

from concordance_shared import ACTIONS, EVENTS, LEGAL_ACTIONS


def actions_table() -> str:
    """A row for each action, a column for each event."""
    lines = [
        "| | " + " | ".join(f"`{event.__name__}`" for event in EVENTS) + " |",
        "|---" * (len(EVENTS) + 1) + "|",
    ]
    for action in ACTIONS:
        cells = ["yes" if action in LEGAL_ACTIONS[event] else "" for event in EVENTS]
        lines.append(f"| `{action.__name__}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
