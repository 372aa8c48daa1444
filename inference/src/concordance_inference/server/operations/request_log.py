"""One line in the log for each HTTP request. It never has text of a prompt or a completion."""

import logging
from typing import Any

from concordance_inference.server.operations.request_record import PROBES, RequestRecord

logger = logging.getLogger(__name__)


class RequestLog:
    """Logs requests when their responses are complete."""

    def started(self, record: RequestRecord) -> None:
        """Log nothing yet."""

    def ended(self, record: RequestRecord) -> None:
        """Log a request: as a line of text, with the fields that a JSON log has in `fields`."""
        level = logging.DEBUG if record.route in PROBES else logging.INFO
        if not logger.isEnabledFor(level):
            return
        fields = log_fields(record)
        logger.log(level, "%s", _line(fields), extra={"fields": fields})


def log_fields(record: RequestRecord) -> dict[str, Any]:
    """The fields of a request's line, without those that it lacks."""
    fields: dict[str, Any] = {
        "request_id": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "key": record.key,
        "model": record.model,
        "mods": record.mods,
        "stream": record.streams,
        "duration_s": round(record.seconds, 4),
        "ttft_s": record.first_token_s and round(record.first_token_s, 4),
        "error": record.error and record.error[0],
    }
    if ends := record.ends:
        num_tokens = sum(end.completion_tokens for end in ends)
        fields |= {
            "prompt_tokens": sum(end.prompt_tokens for end in ends),
            "cached_tokens": sum(end.cached_tokens for end in ends),
            "completion_tokens": num_tokens,
            "forced_tokens": sum(end.forced_tokens for end in ends),
            "backtracked_tokens": sum(end.backtracked_tokens for end in ends),
            "finish_reason": "+".join(dict.fromkeys(str(end.finish_reason) for end in ends)),
            "tokens_per_s": round(num_tokens / max(record.seconds, 1e-9), 1),
        }
    return {name: value for name, value in fields.items() if value not in (None, (), "")}


def _line(fields: dict[str, Any]) -> str:
    """The fields as text.

    POST /v1/chat/completions 200 stop with greeting: 12 prompt tokens (3 cached), 40 completion
    tokens (2 forced), 0 backtracked, first token after 0.10 s, 1.20 s, 33.3 tokens/s, model m
    """
    what = f"{fields['method']} {fields['route']} {fields['status']}"
    for end in (fields.get("finish_reason"), fields.get("error")):
        what += f" {end}" if end else ""
    if mods := fields.get("mods"):
        what += f" with {'+'.join(mods)}"
    parts: list[str] = []
    if "prompt_tokens" in fields:
        parts += [
            f"{fields['prompt_tokens']} prompt tokens ({fields['cached_tokens']} cached)",
            f"{fields['completion_tokens']} completion tokens ({fields['forced_tokens']} forced)",
            f"{fields['backtracked_tokens']} backtracked",
        ]
    if "ttft_s" in fields:
        parts.append(f"first token after {fields['ttft_s']:.2f} s")
    parts.append(f"{fields['duration_s']:.2f} s")
    if "tokens_per_s" in fields:
        parts.append(f"{fields['tokens_per_s']} tokens/s")
    if "key" in fields:
        parts.append(f"key {fields['key']}")
    if "model" in fields:
        parts.append(f"model {fields['model']}")
    return f"{what}: {', '.join(parts)}"
