"""The ASGI application: routes, guard and error handlers around a `ServerContext`."""

from typing import get_args

from concordance_sdk import ModPayload
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from concordance_inference.mods.dry_run import DryRun
from concordance_inference.server.access.authentication import Authentication
from concordance_inference.server.anthropic.middleware import AnthropicShapes
from concordance_inference.server.anthropic.routes import count_tokens, messages
from concordance_inference.server.anthropic.schemas import CountTokensRequest, MessagesRequest
from concordance_inference.server.branches.routes import get_branches, get_conversation
from concordance_inference.server.context import ServerContext
from concordance_inference.server.control.action_body import AnyActionBody
from concordance_inference.server.control.action_routes import act
from concordance_inference.server.control.requests_routes import (
    cancel_request,
    get_request,
    list_requests,
)
from concordance_inference.server.description.api_page import api_page, api_page_file
from concordance_inference.server.description.endpoint import Endpoint
from concordance_inference.server.description.openapi import openapi
from concordance_inference.server.inspector.inspector_page import inspector_file, inspector_page
from concordance_inference.server.limits_routes import get_limits
from concordance_inference.server.model_use import HoldModels
from concordance_inference.server.models_routes import (
    ModelName,
    get_model,
    list_models,
    load_model,
    unload_model,
)
from concordance_inference.server.mods_routes import (
    ShareMod,
    delete_mod,
    dry_run_mod,
    get_mod,
    list_mods,
    share_mod,
    upload_mod,
)
from concordance_inference.server.openai.chat_completions import chat_completions
from concordance_inference.server.openai.completion_request import CompletionRequest
from concordance_inference.server.openai.completions import completions
from concordance_inference.server.openai.embeddings import EmbeddingRequest, embeddings
from concordance_inference.server.openai.schemas import ChatCompletionRequest
from concordance_inference.server.openai.tokenization import DetokenizeRequest, TokenizeRequest
from concordance_inference.server.openai.tokenization_routes import (
    detokenize,
    render,
    tokenize,
    tokenizer_info,
)
from concordance_inference.server.operations.health import healthz, readyz
from concordance_inference.server.operations.metrics import HttpMetrics, metrics
from concordance_inference.server.operations.request_log import RequestLog
from concordance_inference.server.operations.request_record import RequestRecords
from concordance_inference.server.operations.tracing import tracers
from concordance_inference.server.responses.request_fields import ResponseRequest
from concordance_inference.server.responses.routes import (
    cancel_response,
    count_input_tokens,
    create_response,
    delete_response,
    get_response,
    list_input_items,
)
from concordance_inference.server.traces.routes import (
    FILTERS,
    FORMAT,
    delete_trace,
    export_traces,
    get_trace,
    list_traces,
    watch_traces,
)
from concordance_inference.server.transport.cors import cors
from concordance_inference.server.transport.errors import handlers
from concordance_inference.server.transport.guard import LOOPBACK_NAMES, JsonBodies, RequestGuard
from concordance_inference.server.transport.request_id import RequestIds
from concordance_inference.server.transport.startup_guard import RefuseUntilStarted

ROUTES = (
    Endpoint(
        "/v1/chat/completions",
        chat_completions,
        method="POST",
        body=ChatCompletionRequest,
        streams=True,
    ),
    Endpoint("/v1/completions", completions, method="POST", body=CompletionRequest, streams=True),
    Endpoint("/v1/responses", create_response, method="POST", body=ResponseRequest, streams=True),
    Endpoint("/v1/responses/input_tokens", count_input_tokens, method="POST", body=ResponseRequest),
    Endpoint(
        "/v1/responses/{response_id}",
        get_response,
        streams=True,
        query={
            "stream": "Send the events of a response that was created in the background.",
            "starting_after": "The sequence number after which events are sent.",
        },
    ),
    Endpoint("/v1/responses/{response_id}", delete_response, method="DELETE"),
    Endpoint("/v1/responses/{response_id}/cancel", cancel_response, method="POST"),
    Endpoint(
        "/v1/responses/{response_id}/input_items",
        list_input_items,
        query={
            "order": "`desc`, the newest first, or `asc`.",
            "after": "The item after which the page begins.",
            "limit": "The most items of the page, 1 to 100.",
        },
    ),
    Endpoint("/v1/messages", messages, method="POST", body=MessagesRequest, streams=True),
    Endpoint("/v1/messages/count_tokens", count_tokens, method="POST", body=CountTokensRequest),
    *(
        Endpoint(f"/v1/{api}/{{id}}/actions", act, method="POST", body=get_args(AnyActionBody))
        for api in ("chat/completions", "completions", "responses", "messages", "requests")
    ),
    Endpoint("/v1/requests", list_requests),
    Endpoint("/v1/requests/{id}", get_request),
    Endpoint("/v1/requests/{id}", cancel_request, method="DELETE"),
    Endpoint("/v1/requests/{id}/cancel", cancel_request, method="POST"),
    Endpoint("/v1/branches/{id}", get_branches),
    Endpoint("/v1/branches/{id}/conversation", get_conversation),
    Endpoint("/v1/traces", list_traces, query=FILTERS),
    Endpoint("/v1/traces/live", watch_traces, streams=True, query={"id": "Only this trace."}),
    Endpoint("/v1/traces/export", export_traces, media_type="application/jsonl", query=FILTERS),
    Endpoint("/v1/traces/{id}", get_trace, query=FORMAT),
    Endpoint("/v1/traces/{id}", delete_trace, method="DELETE"),
    Endpoint("/v1/embeddings", embeddings, method="POST", body=EmbeddingRequest),
    Endpoint("/v1/limits", get_limits),
    Endpoint("/v1/models", list_models),
    Endpoint("/v1/models/load", load_model, method="POST", body=ModelName).needs("admin"),
    Endpoint("/v1/models/unload", unload_model, method="POST", body=ModelName).needs("admin"),
    Endpoint("/v1/models/{name:path}", get_model),
    Endpoint("/v1/mods", list_mods),
    Endpoint(
        "/v1/mods",
        upload_mod,
        method="POST",
        body=ModPayload,
        status=201,
        query={"dry_run": "`true`: play the mod instead of adding it."},
    ).needs("mods:write"),
    Endpoint("/v1/mods/{name}/dry_run", dry_run_mod, method="POST", body=DryRun),
    Endpoint("/v1/mods/{name}/share", share_mod, method="POST", body=ShareMod).needs("admin"),
    Endpoint("/v1/mods/{name}", get_mod),
    Endpoint(
        "/v1/mods/{name}",
        delete_mod,
        method="DELETE",
        query={"owner": "Who has uploaded it; the caller if absent."},
    ).needs("mods:write"),
    Endpoint("/v1/chat/completions/render", render, method="POST", body=ChatCompletionRequest),
    *(
        Endpoint(f"{root}/tokenize", tokenize, method="POST", body=TokenizeRequest)
        for root in ("/v1", "")
    ),
    *(
        Endpoint(f"{root}/detokenize", detokenize, method="POST", body=DetokenizeRequest)
        for root in ("/v1", "")
    ),
    *(
        Endpoint(
            f"{root}/tokenizer_info",
            tokenizer_info,
            query={"model": "The model; the default one if absent."},
        )
        for root in ("/v1", "")
    ),
    Endpoint("/", inspector_page, media_type="text/html").needs("page"),
    Endpoint("/inspector/{name}", inspector_file, media_type="text/javascript").needs("page"),
    Endpoint("/healthz", healthz).needs(None),
    *(Endpoint(path, readyz).needs(None) for path in ("/readyz", "/health")),
    Endpoint("/metrics", metrics, media_type="text/plain").needs("metrics"),
    Endpoint("/openapi.json", openapi),
    Endpoint("/docs", api_page, media_type="text/html").needs("page"),
    Endpoint("/docs/{name}", api_page_file, media_type="text/javascript").needs("page"),
)


def create_app(context: ServerContext) -> Starlette:
    """Make the application that serves models and mods."""
    http_metrics = HttpMetrics()
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(RequestRecords, observers=[http_metrics, RequestLog(), *tracers()]),
            Middleware(AnthropicShapes),
            Middleware(RequestIds),
            Middleware(
                RequestGuard,
                hosts=LOOPBACK_NAMES | context.hosts,
                origins=context.cors_origins,
                listens_on_all=context.listens_on_all,
            ),
            *cors(context.cors_origins),
            Middleware(Authentication, access=context.access),
            Middleware(JsonBodies),
            Middleware(RefuseUntilStarted, startup=context.startup),
            Middleware(HoldModels),
        ],
        exception_handlers={**handlers(), ClientDisconnect: _client_disconnected},
    )
    app.state.context = context
    app.state.http_metrics = http_metrics
    app.router.redirect_slashes = False  # an unknown path gets an error as JSON
    return app


async def _client_disconnected(request: Request, exc: Exception) -> Response:
    """Return 499, the status that other servers log for a client that disconnected."""
    del request, exc
    return Response(status_code=499)
