"""The OpenAPI description of the server, from the types that validate its requests."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, get_args

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from concordance_inference.server.description.endpoint import Endpoint
from concordance_inference.server.description.field_descriptions import description_of
from concordance_inference.server.openai.schemas import ChatMessage
from concordance_inference.server.responses.function_tools import FunctionTool
from concordance_inference.server.responses.given_items import GivenItem

_REF = "#/components/schemas/{name}"
_PATH_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")

#: Types that bodies refer to without decoding them.
_EXTRA_TYPES: tuple[type[Struct], ...] = (ChatMessage, FunctionTool, *get_args(GivenItem))


class ErrorFields(Struct, frozen=True, kw_only=True):
    """What an error says."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Struct, frozen=True, kw_only=True):
    """The body of a response with a status from 400."""

    error: ErrorFields


async def openapi(request: Request) -> Response:
    """Return this description, as OpenAPI 3.1."""
    described = description(request.app.routes)
    return Response(msgspec.json.encode(described), media_type="application/json")


def description(routes: Sequence[object]) -> dict[str, Any]:
    """Describe all endpoints among routes, as an OpenAPI document."""
    endpoints = [route for route in routes if isinstance(route, Endpoint)]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Concordance",
            "version": version("concordance-inference"),
            "description": "Language models whose every token passes through your code.",
        },
        "paths": dict(_paths(endpoints)),
        "components": {"schemas": _components(endpoints)},
    }


def _paths(endpoints: Sequence[Endpoint]) -> Iterator[tuple[str, dict[str, Any]]]:
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        path = _PATH_PARAMETER.sub(r"{\1}", endpoint.path)
        paths.setdefault(path, {})[endpoint.method.lower()] = _operation(endpoint)
    yield from paths.items()


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    doc = inspect.getdoc(endpoint.endpoint) or ""
    summary, _, details = doc.partition("\n\n")
    operation: dict[str, Any] = {
        "operationId": _operation_id(endpoint),
        "summary": summary.replace("\n", " "),
        "responses": _responses(endpoint),
    }
    if details:
        operation["description"] = details.partition("\n\nRaises:")[0].partition("Raises:")[0]
    if parameters := list(_parameters(endpoint)):
        operation["parameters"] = parameters
    if refs := [{"$ref": _REF.format(name=body.__name__)} for body in endpoint.bodies]:
        schema = refs[0] if len(refs) == 1 else {"oneOf": refs}
        content = {"application/json": {"schema": schema}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _operation_id(endpoint: Endpoint) -> str:
    """A name that no other endpoint has: several paths may have one handler."""
    words = _PATH_PARAMETER.sub(r"\1", endpoint.path).strip("/") or "index"
    return re.sub(r"\W+", "_", f"{endpoint.method.lower()}_{words}")


def _parameters(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    for name in _PATH_PARAMETER.findall(endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name, text in endpoint.query.items():
        yield {
            "name": name,
            "in": "query",
            "required": False,
            "description": text,
            "schema": {"type": "string"},
        }


def _responses(endpoint: Endpoint) -> dict[str, Any]:
    content: dict[str, Any] = {endpoint.media_type: {"schema": {}}}
    if endpoint.streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    error = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    return {
        str(endpoint.status): {"description": "The response.", "content": content},
        "default": {"description": "An error.", "content": error},
    }


def _components(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    bodies = [body for endpoint in endpoints for body in endpoint.bodies]
    types = list(dict.fromkeys([*bodies, *_EXTRA_TYPES, Error]))
    _, components = msgspec.json.schema_components(types, ref_template=_REF)
    return {name: _described(name, schema) for name, schema in components.items()}


def _described(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema whose properties have descriptions, and whose own has no indentation."""
    described = dict(schema)
    if text := described.get("description"):
        described["description"] = inspect.cleandoc(text).partition("\n\nAttributes:")[0]
    for field, property_ in described.get("properties", {}).items():
        if text := description_of(name, field):
            property_["description"] = text
    return described
