"""`/metrics`: what is counted, under which names, and with labels of bounded number."""

import re
from types import SimpleNamespace

import pytest
from concordance_inference.generation import Failed
from concordance_inference.metrics_snapshot import HistogramSnapshot, MetricsSnapshot, ModCost
from concordance_inference.mods.catalog import ModCatalog
from concordance_inference.sandbox.failure_counts import FailureCounts
from concordance_inference.sandbox.supervisor import SandboxStatus
from concordance_shared import EngineError, FinishReason, ModTimeoutError
from fake_engine import FakeEngine
from prometheus_client.parser import text_string_to_metric_families

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
CHAT = "/v1/chat/completions"

SNAPSHOT = MetricsSnapshot(
    running=2,
    waiting=1,
    parked=3,
    kv_bytes=50,
    kv_limit_bytes=200,
    prompt_tokens=30,
    completion_tokens=40,
    cached_tokens=10,
    prefill_tokens=20,
    forced_tokens=4,
    requests={FinishReason.STOP: 3, FinishReason.CANCELLED: 1},
    time_to_first_token_s=HistogramSnapshot(bounds=(0.1, 1.0), counts=(2, 1, 1), total=5.5),
    mods={"greeting": ModCost(calls=7, seconds=0.5), "a": ModCost(calls=1), "b": ModCost(calls=2)},
)


class Engine(FakeEngine):
    def metrics(self):
        return SNAPSHOT


@pytest.fixture(name="scrape")
def _scrape(serve):
    """The samples of a server: (name, labels without the model) -> value."""
    client = serve(Engine())

    def scrape():
        response = client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain; version=")
        return {
            (sample.name, *(v for k, v in sample.labels.items() if k != "model_name")): sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
        }

    scrape.client = client
    return scrape


def test_metrics_have_the_names_and_labels_of_vllm(scrape):
    samples = scrape()

    assert samples["vllm:num_requests_running",] == 2
    assert samples["vllm:num_requests_waiting",] == 1
    assert samples["vllm:kv_cache_usage_perc",] == 0.25
    assert samples["vllm:prompt_tokens_total",] == 30
    assert samples["vllm:generation_tokens_total",] == 40
    assert samples["vllm:prefix_cache_queries_total",] == 30
    assert samples["vllm:prefix_cache_hits_total",] == 10
    assert samples["vllm:request_success_total", "stop"] == 3
    assert samples["vllm:request_success_total", "abort"] == 1
    assert samples["vllm:request_success_total", "length"] == 0
    assert 'model_name="fake"' in scrape.client.get("/metrics").text


def test_a_histogram_is_cumulative(scrape):
    samples, name = scrape(), "vllm:time_to_first_token_seconds"

    assert [samples[f"{name}_bucket", le] for le in ("0.1", "1.0", "+Inf")] == [2, 3, 4]
    assert (samples[f"{name}_count",], samples[f"{name}_sum",]) == (4, 5.5)


def test_mods_that_clients_uploaded_have_one_label_together(scrape):
    samples = scrape()

    assert samples["concordance:mod_calls_total", "greeting"] == 7
    assert samples["concordance:mod_seconds_total", "greeting"] == 0.5
    assert samples["concordance:mod_calls_total", "uploaded"] == 3
    assert samples["concordance:forced_tokens_total",] == 4


def test_the_sandbox_has_its_workers_and_the_failures_of_uploads_by_code(serve):
    status = SandboxStatus(is_available=True, reason="", num_leased=2, num_warm=4)
    sandbox = SimpleNamespace(status=status, failures=FailureCounts())
    sandbox.failures.note(ModTimeoutError("late", mod="m"))
    text = serve(mods=ModCatalog(sandbox=sandbox)).get("/metrics").text

    assert "concordance:sandbox_available 1.0" in text
    assert 'concordance:sandbox_workers{state="leased"} 2.0' in text
    assert 'concordance:sandbox_workers{state="warm"} 4.0' in text
    assert 'concordance:uploaded_mod_failures_total{code="mod_timeout"} 1.0' in text
    assert "sandbox" not in serve(mods=ModCatalog()).get("/metrics").text


def test_requests_that_wait_for_a_worker_are_counted(scrape):
    assert scrape()["concordance:parked_requests",] == 3


def test_http_requests_are_counted_by_route_not_by_path(scrape):
    for name in ("a", "b"):
        scrape.client.get(f"/v1/models/{name}")
        scrape.client.get(f"/nowhere/{name}")
    scrape.client.request("BREW", "/healthz")
    scrape.client.post(CHAT, json=ASK)
    samples = scrape()
    counts = {
        key[1:]: n for key, n in samples.items() if key[0] == "concordance:http_requests_total"
    }

    assert counts["GET", "/v1/models/{name:path}", "404"] == 2
    assert counts["GET", "unknown", "404"] == 2
    assert counts["other", "/healthz", "405"] == 1
    assert counts["POST", CHAT, "200"] == 1


def test_errors_are_counted_by_type_also_in_streams(serve):
    client = serve(FakeEngine([*FakeEngine().updates[:2], Failed(error=EngineError("kaput"))]))
    client.post(CHAT, json={**ASK, "stream": True})
    client.post(CHAT, json={**ASK, "temperature": 9})
    text = client.get("/metrics").text

    assert 'concordance:errors_total{code="engine_error",type="server_error"} 1.0' in text
    assert 'concordance:errors_total{code="invalid_value",type="invalid_request_error"} 1.0' in text


def test_the_format_is_valid_and_every_metric_has_help(client):
    text = client.get("/metrics").text
    helped = set(re.findall(r"^# HELP (\S+) \S", text, re.MULTILINE))
    families = {family.name for family in text_string_to_metric_families(text)}

    assert {name.removesuffix("_total") for name in helped} >= families
