"""The body of a response, from its creation to its end."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from concordance_shared import FinishReason
from msgspec import Raw

from concordance_inference.branching.about import about_branch
from concordance_inference.generation import Completed
from concordance_inference.server.openai.mod_usage import about_mods
from concordance_inference.server.openai.usage import usage
from concordance_inference.server.responses.items import Item
from concordance_inference.server.responses.request_fields import ResponseRequest
from concordance_inference.server.responses.response_request import ResponsesRequest
from concordance_inference.server.resuming import about_resuming
from concordance_inference.tools.choice import tool_choice

Status = Literal["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]

#: The code of an error in a response, by the type of the error; the others are `server_error`.
_ERROR_CODES: Mapping[str, str] = {
    "invalid_request_error": "invalid_prompt",
    "not_found_error": "invalid_prompt",
    "rate_limit_error": "rate_limit_exceeded",
}

#: The keys of an error in OpenAI's shape; what else it has is in `concordance`.
_ERROR_KEYS = frozenset({"message", "type", "param", "code"})


class ResponseBody:
    """The fields of a response beside its output."""

    def __init__(self, request: ResponsesRequest) -> None:
        """Start the response to a request. Runs on a background thread: it encodes long fields."""
        self.id = f"resp_{request.generation.request_id}"
        self.status: Status = "queued" if request.body.background else "in_progress"
        self._has_mods = bool(request.generation.mods)
        self._has_token_ids = request.generation.return_token_ids
        self._num_dropped = request.num_dropped
        self._fixed = {"id": self.id, **_repeated(request)}
        self._changing: dict[str, Any] = {
            "error": None,
            "incomplete_details": None,
            "completed_at": None,
            "usage": None,
        }
        self._about: dict[str, Any] = about_resuming(request.body)
        self._branch = request.generation.branch
        self._about |= {"dropped_items": self._num_dropped} if self._num_dropped else {}

    def complete(self, completed: Completed, about_reading: Mapping[str, Any]) -> None:
        """End with a completion.

        Args:
            completed: The completion.
            about_reading: What was shown of its message.
        """
        self._about |= {**about_branch(self._branch, self.id, completed), **about_reading}
        is_whole = completed.finish_reason in (FinishReason.STOP, FinishReason.TOOL_CALLS)
        self.status = "completed" if is_whole else "incomplete"
        self._changing |= {
            "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
            "completed_at": int(time.time()) if is_whole else None,
            "usage": _usage(completed),
        }
        about = about_mods([completed], completed.reports, has_mods=self._has_mods)
        self._about |= about.get("concordance", {})
        if self._has_token_ids:
            self._about |= {
                "prompt_token_ids": completed.prompt_ids,
                "token_ids": completed.token_ids,
                "forced_by": completed.forced_by,
            }

    def fail(self, error: Mapping[str, Any]) -> None:
        """End with an error.

        Args:
            error: The fields of the error, in OpenAI's shape.
        """
        self.status = "failed"
        self._changing["error"] = {
            "code": _ERROR_CODES.get(error["type"], "server_error"),
            "message": error["message"],
            "type": error["type"],
            "param": error["param"],
        }
        if about := about_error(error):
            self._about |= about

    def json(self, output: Sequence[Item]) -> dict[str, Any]:
        """The body with its output."""
        about = {"concordance": self._about} if self._about else {}
        return {**self._fixed, "status": self.status, **self._changing, "output": output, **about}


def about_error(error: Mapping[str, Any]) -> dict[str, Any]:
    """What an error has besides the fields of OpenAI's, and its own code."""
    rest = {name: value for name, value in error.items() if name not in _ERROR_KEYS}
    return {"error": {"code": error["code"], **rest}}


def _usage(completed: Completed) -> dict[str, Any]:
    counts = usage(completed)
    cached = counts["prompt_tokens_details"]["cached_tokens"]
    reasoning = counts["completion_tokens_details"]["reasoning_tokens"]
    return {
        "input_tokens": counts["prompt_tokens"],
        # Tokens that are cached are not counted or billed apart: OpenAI's field is 0.
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": counts["total_tokens"],
    }


def _repeated(request: ResponsesRequest) -> dict[str, Any]:
    """The fields that repeat the request; long ones are encoded already."""
    body, sampling = request.body, request.generation.sampling
    return {
        "object": "response",
        "created_at": int(time.time()),
        "model": body.model,
        "background": bool(body.background),
        "instructions": _encoded(body.instructions),
        "previous_response_id": body.previous_response_id,
        "tools": _encoded([tool.shown for tool in request.tools]),
        "tool_choice": _tool_choice(body),
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "max_tool_calls": body.max_tool_calls,
        "text": _encoded(_text(body)),
        "reasoning": _reasoning(body),
        "max_output_tokens": body.max_output_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "top_logprobs": body.top_logprobs or 0,
        "store": request.is_stored,
        "truncation": body.truncation or "disabled",
        "metadata": body.metadata or {},
        "user": body.user,
        "safety_identifier": body.safety_identifier,
        "prompt_cache_key": body.prompt_cache_key,
        "service_tier": "default",
    }


def _encoded(value: object) -> Raw:
    return Raw(msgspec.json.encode(value))


def _tool_choice(body: ResponseRequest) -> object:
    """The choice in the shape of this API."""
    given = body.tool_choice
    choice = tool_choice(given, has_tools=bool(body.tools), parallel=body.parallel_tool_calls)
    named = [{"type": "function", "name": name} for name in choice.names or ()]
    if not named:
        return choice.mode if given is not None else "auto"
    if isinstance(given, dict) and given.get("type") == "function":
        return named[0]
    return {"type": "allowed_tools", "mode": choice.mode, "tools": named}


def _text(body: ResponseRequest) -> dict[str, Any]:
    given = body.text.format if body.text else None
    shown: dict[str, Any] = {"type": "text" if given is None else given.type}
    if given is not None and given.type == "json_schema":
        shown |= {
            "name": given.name,
            "description": given.description,
            "schema": given.schema,
            "strict": bool(given.strict),
        }
    verbosity = body.text.verbosity if body.text else None
    return {"format": shown, "verbosity": verbosity or "medium"}


def _reasoning(body: ResponseRequest) -> dict[str, Any]:
    given = body.reasoning
    effort = given.effort if given else None
    summary = (given.summary or given.generate_summary) if given else None
    return {"effort": effort, "summary": summary}
