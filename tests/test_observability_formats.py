"""Lines of the observability tools Langfuse and Helicone become the expected rows."""

from decimal import Decimal
from typing import Any

import pytest

from conftest import as_line
from parsing import Line, at, parsed, parser, reasons, row
from test_gateway_formats import SPEND
from tokenmart.recognition import counts


def tokens(found: Line) -> tuple[int | None, ...]:
    """Input tokens, cache reads, cache writes, output tokens and reasoning tokens of a row."""
    names = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    return tuple(found.get(name) for name in names)


# ---------------------------------------------------------------- langfuse

LANGFUSE: Line = {
    "id": "ob1",
    "trace_id": "t1",
    "project_id": "p1",
    "environment": "production",
    "type": "GENERATION",
    "parent_observation_id": "ob0",
    "start_time": "2026-11-01 09:30:00.123",
    "end_time": "2026-11-01 09:30:01.623",
    "name": "draft",
    "metadata": {"team": "ml", "k": "1"},
    "level": "DEFAULT",
    "status_message": None,
    "version": None,
    "input": "Hello",
    "output": "Hi",
    "provided_model_name": "gpt-4o",
    "model_parameters": '{"temperature": 1}',
    "usage_details": {
        "input": 70,
        "input_cached_tokens": 30,
        "output": 5,
        "output_reasoning_tokens": 15,
        "total": 120,
    },
    "cost_details": {"input": 0.0001, "total": 0.0003},
    "completion_start_time": "2026-11-01 09:30:00.623",
    "total_cost": 0.0003,
    "latency": 1500,
    "time_to_first_token": 500,
    "model_id": "m1",
    "created_at": "2026-11-01 09:30:02.000",
    "updated_at": "2026-11-01 09:30:05.250",
    "usage_pricing_tier_name": "Standard",
}
# fields of observations_v2 only
CONTEXT: Line = {"user_id": "u1", "session_id": "s1", "trace_name": "answer", "tags": ["beta", "beta", "eu"]}
API_NAMES = {
    "trace_id": "traceId",
    "project_id": "projectId",
    "parent_observation_id": "parentObservationId",
    "start_time": "startTime",
    "end_time": "endTime",
    "status_message": "statusMessage",
    "provided_model_name": "model",
    "model_parameters": "modelParameters",
    "usage_details": "usageDetails",
    "cost_details": "costDetails",
    "completion_start_time": "completionStartTime",
    "total_cost": "calculatedTotalCost",
    "time_to_first_token": "timeToFirstToken",
    "model_id": "modelId",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "usage_pricing_tier_name": "usagePricingTierName",
    "user_id": "userId",
    "session_id": "sessionId",
    "trace_name": "traceName",
}


def as_api(line: Line) -> Line:
    """The line as the API returns it."""
    found = {API_NAMES.get(name, name): value for name, value in line.items()}
    times = ("startTime", "endTime", "completionStartTime", "createdAt", "updatedAt")
    return {**found, **{name: found[name].replace(" ", "T") + "Z" for name in times}}


def langfuse(usage: Any = None, **fields: Any) -> Line:
    """The row of an observation with other token counts or other fields."""
    return row("langfuse", {**LANGFUSE, **({} if usage is None else {"usage_details": usage}), **fields})


def test_an_observation_of_langfuse_lands() -> None:
    assert langfuse(**CONTEXT) == {
        "event_id": "ob1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123000),
        "duration_ms": 1500.0,
        "time_to_first_token_ms": 500.0,
        "model": "gpt-4o",
        "operation": "chat",
        # 70 + 30 + 5 + 15 is the total, so neither the input nor the output includes its parts
        "input_tokens": 100,
        "cache_read_tokens": 30,
        "output_tokens": 20,
        "reasoning_tokens": 15,
        "token_convention": "exclusive",
        # 1,793,525,405 seconds are 2026-11-01 09:30:05
        "snapshot_version": 1793525405250000,
        "reported_cost_usd": Decimal("0.0003"),
        "user_id": "u1",
        "session_id": "s1",
        "team": "ml",
        "project": "p1",
        "environment": "production",
        "feature": "answer",
        "component": "draft",
        "status": "success",
        "trace_id": "t1",
        "span_id": "ob1",
        "parent_span_id": "ob0",
        "tags": {"team": "ml", "k": "1", "beta": "true", "eu": "true"},
        "extra": {
            "model_id": "m1",
            "created_at": "2026-11-01 09:30:02.000",
            "usage_pricing_tier_name": "Standard",
        },
    }


def test_an_observation_of_the_api_is_the_same_request() -> None:
    expected = langfuse(**CONTEXT)
    expected["extra"] = {
        "modelId": "m1",
        "createdAt": "2026-11-01T09:30:02.000Z",
        "usagePricingTierName": "Standard",
    }
    assert row("langfuse", as_api({**LANGFUSE, **CONTEXT})) == expected
    other = {**as_api({**LANGFUSE, **CONTEXT}), "providedModelName": "gpt-4o"}
    del other["model"], other["costDetails"]
    assert row("langfuse", other) == expected
    del other["calculatedTotalCost"]
    assert row("langfuse", {**other, "totalCost": 0.0003}) == expected


@pytest.mark.parametrize(
    ("labels", "tags"),
    [
        (["a", None, "b"], {"a": "true", "b": "true"}),
        ([], {}),
        (None, {}),
        ("a", {}),
    ],
)
def test_tags_of_langfuse_are_a_list(labels: Any, tags: Line) -> None:
    assert langfuse(tags=labels, metadata={})["tags"] == tags
    assert langfuse(tags=labels, metadata=None).get("tags", {}) == tags


def test_times_of_langfuse_without_a_time_zone_are_utc() -> None:
    found = row("langfuse", LANGFUSE, time_zone="Asia/Kolkata")
    assert found["occurred_at"] == at(2026, 11, 1, 9, 30, 0, 123000)
    assert found["snapshot_version"] == 1793525405250000


@pytest.mark.parametrize(
    ("usage", "convention", "expected"),
    [
        # disjoint: 100 + 20 + 1,000 + 300 + 50 = 1,470
        (
            {"input": 100, "cache_read_input_tokens": 1000, "input_cache_creation": 300, "output": 50, "total": 1470}
            | {"output_reasoning": 20},
            "exclusive",
            (1400, 1000, 300, 70, 20),
        ),
        # 1,400 + 50 is the total: the input includes both caches
        (
            {"input": 1400, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300, "output": 50}
            | {"total": 1450},
            "inclusive",
            (1400, 1000, 300, 50, None),
        ),
        # 100 + 50 is the total: the input and the output include their parts
        (
            {"input": 100, "input_cached_tokens": 40, "output": 50, "output_reasoning_tokens": 20, "total": 150},
            "inclusive",
            (100, 40, None, 50, 20),
        ),
        # 100 + 40 + 50 is the total: only the output includes its part
        (
            {"input": 100, "input_cached_tokens": 40, "output": 50, "output_reasoning_tokens": 20, "total": 190},
            "exclusive",
            (140, 40, None, 50, 20),
        ),
        # 100 + 50 + 20 is the total: only the input includes its part
        (
            {"input": 100, "input_cached_tokens": 40, "output": 50, "output_reasoning_tokens": 20, "total": 170},
            "inclusive",
            (100, 40, None, 70, 20),
        ),
        # no total
        ({"input": 100, "input_cached_tokens": 40, "output": 50}, "exclusive", (140, 40, None, 50, None)),
        # a total of which no sum of the counts is equal
        ({"input": 100, "input_cached_tokens": 40, "output": 50, "total": 7}, "exclusive", (140, 40, None, 50, None)),
        # counts in texts
        (
            {
                "input": "70",
                "input_cached_tokens": "30",
                "output": "5",
                "output_reasoning_tokens": "15",
                "total": "120",
            },
            "exclusive",
            (100, 30, None, 20, 15),
        ),
        # audio is a part of the input and of the output, but not cached
        (
            {"input": 60, "input_audio_tokens": 40, "output": 5, "output_audio_tokens": 10, "total": 115},
            "exclusive",
            (100, None, None, 15, None),
        ),
        # the input that is left is 0, and missing
        ({"input": 0, "input_cached_tokens": 30, "output": 5, "total": 35}, "exclusive", (30, 30, None, 5, None)),
        ({"input_cached_tokens": 30, "output": 5, "total": 35}, "exclusive", (30, 30, None, 5, None)),
        # names of OpenAI: the input includes cached tokens, and Langfuse's total is the sum of all counts
        (
            {"prompt_tokens": 100, "cached_tokens": 30, "completion_tokens": 20, "total_tokens": 120, "total": 270},
            "inclusive",
            (100, 30, None, 20, None),
        ),
        (
            {"prompt_tokens": 100, "cached_tokens": 30, "completion_tokens": 20, "total": 150},
            "inclusive",
            (100, 30, None, 20, None),
        ),
        # names of OpenAI with an own total that is the sum of all counts
        (
            {"prompt_tokens": 100, "cached_tokens": 30, "completion_tokens": 20, "total_tokens": 150, "total": 300},
            "exclusive",
            (130, 30, None, 20, None),
        ),
        # names of Anthropic: the input does not include cached tokens
        (
            {"input_tokens": 10, "cache_read_input_tokens": 500, "cache_creation_input_tokens": 40}
            | {"output_tokens": 7, "total": 557},
            "exclusive",
            (550, 500, 40, 7, None),
        ),
        # names of Google
        (
            {"prompt_token_count": 90, "cached_content_token_count": 60, "candidates_token_count": 7}
            | {"thoughts_token_count": 3, "total_token_count": 100, "total": 260},
            "inclusive",
            (90, 60, None, 10, 3),
        ),
        # other counts are not tokens
        ({"input": 10, "output": 5, "web_searches": 2, "total": 17}, "exclusive", (10, None, None, 5, None)),
    ],
)
def test_the_total_decides_what_the_counts_of_langfuse_include(
    usage: Line, convention: str, expected: tuple[int | None, ...]
) -> None:
    found = langfuse(usage)
    assert (found["token_convention"], tokens(found)) == (convention, expected)


def test_one_hour_cache_writes_of_langfuse_are_cache_writes() -> None:
    usage = {"input": 10, "input_cache_creation": 0, "input_cache_creation_5m": 100, "input_cache_creation_1h": 300}
    found = langfuse({**usage, "output": 5, "total": 415})
    assert (found["input_tokens"], found["cache_write_tokens"], found["cache_write_1h_tokens"]) == (410, 400, 300)


@pytest.mark.parametrize("usage", [{}, {"total": 5}, "no object", [1]])
def test_an_observation_of_langfuse_without_counts_has_no_tokens(usage: Any) -> None:
    assert tokens(langfuse(usage)) == (None, None, None, None, None)


def test_an_embedding_of_langfuse_has_no_output() -> None:
    found = langfuse({"input": 8, "total": 8}, type="EMBEDDING")
    assert (found["operation"], tokens(found)) == ("embeddings", (8, None, None, None, None))


@pytest.mark.parametrize(("count", "reason"), [(-1, "is negative"), ("many", "is not a number")])
def test_an_invalid_count_of_langfuse_is_rejected(count: Any, reason: str) -> None:
    usage = {"output": 5, "output_audio_tokens": None, "input": 8, "input_cached_tokens": count}
    assert reasons("langfuse", {**LANGFUSE, "usage_details": usage}) == [f"input_tokens {reason}"]
    assert tokens(langfuse({**usage, "input_cached_tokens": None})) == (8, None, None, 5, None)


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"total_cost": "0.000000000012"}, Decimal("0.000000000012")),
        # a price of 0 is set
        ({"total_cost": 0}, Decimal(0)),
        # the model has no price
        ({"total_cost": None, "cost_details": {}}, None),
        ({"total_cost": None, "cost_details": {"total": 0.5}}, Decimal("0.5")),
    ],
)
def test_the_cost_of_langfuse_is_null_if_it_is_unknown(fields: Line, cost: Decimal | None) -> None:
    assert langfuse(**fields).get("reported_cost_usd") == cost


def test_types_of_langfuse_that_contain_requests_are_skipped() -> None:
    containers = [{**LANGFUSE, "type": type_} for type_ in ("SPAN", "EVENT", "AGENT", "TOOL", "CHAIN")]
    others = [{**LANGFUSE, "type": type_} for type_ in ("EMBEDDING", "RETRIEVER", "EVALUATOR", "GUARDRAIL")]
    without_usage = [{**LANGFUSE, "type": type_, "usage_details": {}} for type_ in ("GENERATION", "GUARDRAIL")]
    result = parsed("langfuse", *containers, *others, *without_usage)
    assert result.events["line_id"].to_pylist() == [5, 6, 7, 8, 9]
    assert len(result.rejected) == 0


def test_an_error_of_langfuse_has_its_message() -> None:
    found = langfuse({}, level="ERROR", status_message="rate limited")
    assert (found["status"], found["error_message"]) == ("error", "rate limited")
    found = langfuse(level="WARNING", status_message="slow")
    assert found["status"] == "success" and "error_message" not in found


def test_no_content_of_langfuse_lands() -> None:
    line = {**LANGFUSE, "tool_calls": ["secret"], "tool_definitions": {"f": "secret"}, "input": "secret"}
    line["metadata"] = {"prompt": "secret secret", "attributes": '{"gen_ai.prompt": "secret"}'}
    assert "secret" not in str(row("langfuse", line))
    # the keys with content are not even looked at
    assert sorted(parsed("langfuse", line).omitted["key"].to_pylist()) == ["tags.attributes", "tags.prompt"]


# ---------------------------------------------------------------- helicone

NULL_ID = "00000000-0000-0000-0000-000000000000"
HELICONE: Line = {
    "request_id": "r-1",
    "response_id": "a-1",
    "request_created_at": "2026-11-01 09:30:00.123",
    "response_created_at": "2026-11-01 09:30:01.623",
    "response_status": 200,
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "model_override": None,
    "provider": "OPENAI",
    "delay_ms": 1500,
    "time_to_first_token": 420,
    "prompt_tokens": 70,
    "prompt_cache_read_tokens": 30,
    "prompt_cache_write_tokens": 0,
    "completion_tokens": 20,
    "total_tokens": 90,
    "request_user_id": "u1",
    "request_properties": {"Helicone-Session-Id": "s1", "Team": "ml", "project": "search", "Environment": "prod"},
    "request_path": "https://oai.helicone.ai/v1/chat/completions?key=k",
    "target_url": "https://api.openai.com/v1/chat/completions",
    "country_code": "DE",
    "cache_reference_id": NULL_ID,
    "cache_enabled": False,
    "cost": 0.00042,
    "updated_at": "2026-11-01 09:30:05",
    "request_body": {"messages": [{"role": "user", "content": "Hello"}]},
    "response_body": {"choices": [{"message": {"content": "Hi"}}]},
    "signed_body_url": "https://bucket.example/1",
}


def helicone(**fields: Any) -> Line:
    """The row of a request with other fields."""
    return row("helicone", {**HELICONE, **fields})


def test_a_request_of_helicone_lands() -> None:
    assert helicone() == {
        "event_id": "r-1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123000),
        "duration_ms": 1500.0,
        "time_to_first_token_ms": 420.0,
        "provider": "OPENAI",
        "model": "gpt-4o-2024-08-06",
        "requested_model": "gpt-4o",
        "operation": "chat",
        "endpoint": "https://oai.helicone.ai/v1/chat/completions",
        # 70 uncached and 30 read from the cache
        "input_tokens": 100,
        "cache_read_tokens": 30,
        "cache_write_tokens": 0,
        "output_tokens": 20,
        "token_convention": "exclusive",
        "snapshot_version": 1793525405000000,
        "reported_cost_usd": Decimal("0.00042"),
        "user_id": "u1",
        "session_id": "s1",
        "team": "ml",
        "project": "search",
        "environment": "prod",
        "status": "success",
        "request_id": "r-1",
        "tags": {"Helicone-Session-Id": "s1", "Team": "ml", "project": "search", "Environment": "prod"},
        "extra": {"response_id": "a-1", "country_code": "DE", "cache_enabled": False},
    }


def test_a_request_of_helicone_with_iso_times_is_the_same_request() -> None:
    times = {"request_created_at": "2026-11-01T09:30:00.123Z", "updated_at": "2026-11-01T09:30:05+00:00"}
    assert helicone(**times) == helicone()
    assert row("helicone", HELICONE, time_zone="Asia/Kolkata") == helicone()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"provider": "ANTHROPIC", "prompt_cache_read_tokens": 1024, "prompt_cache_write_tokens": 512}, 1606),
        # a fully cached prompt
        ({"prompt_tokens": 0, "prompt_cache_read_tokens": 1024}, 1024),
        ({"prompt_cache_read_tokens": None, "prompt_cache_write_tokens": None}, 70),
    ],
)
def test_prompt_tokens_of_helicone_leave_out_cached_tokens(fields: Line, expected: int) -> None:
    assert helicone(**fields)["input_tokens"] == expected


def test_completion_tokens_of_helicone_leave_out_reasoning_tokens() -> None:
    assert tokens(helicone(reasoning_tokens=64)) == (100, 30, 0, 84, 64)
    assert tokens(helicone(reasoning_tokens=5)) == (100, 30, 0, 25, 5)
    assert tokens(helicone(reasoning_tokens=None)) == (100, 30, 0, 20, None)


@pytest.mark.parametrize(
    ("reference", "is_hit"),
    [("0b6c1f1e-0000-4000-8000-000000000001", True), (NULL_ID, False), (None, False), ("", False)],
)
def test_responses_from_the_cache_of_helicone_are_not_billed(reference: str | None, is_hit: bool) -> None:
    # Helicone does not count tokens of cached responses, but can keep their cost
    counts_of_hits = {"prompt_tokens": 0, "completion_tokens": 0, "prompt_cache_read_tokens": 0} if is_hit else {}
    found = helicone(cache_reference_id=reference, **counts_of_hits)
    assert found.get("is_billed") == (False if is_hit else None)
    assert found["reported_cost_usd"] == (Decimal(0) if is_hit else Decimal("0.00042"))


@pytest.mark.parametrize("cost", [0, 0.0, None])
def test_a_cost_of_0_of_helicone_is_unknown(cost: Any) -> None:
    assert "reported_cost_usd" not in helicone(cost=cost)


def test_the_cost_of_helicone_has_two_names() -> None:
    assert helicone(cost=None, costUSD="0.5")["reported_cost_usd"] == Decimal("0.5")


@pytest.mark.parametrize(
    ("code", "status", "error_type"),
    [
        (200, "success", None),
        (201, "success", None),
        (429, "error", "429"),
        (500, "error", "500"),
        (0, "pending", None),
        (None, "pending", None),
        (-1, "timeout", None),
        (-2, "pending", None),
        (-3, "cancelled", None),
        (-4, "error", "threat"),
    ],
)
def test_the_status_codes_of_helicone(code: int | None, status: str, error_type: str | None) -> None:
    found = helicone(response_status=code)
    assert (found["status"], found.get("error_type")) == (status, error_type)


def test_a_failed_request_of_helicone_has_no_tokens() -> None:
    body = {"error": {"message": "slow down", "type": "requests"}}
    counts_of_failure = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), 0)
    found = helicone(response_status=429, response_body=body, cost=0, **counts_of_failure)
    assert found["error_message"] == "slow down"
    assert tokens(found) == (None, 30, None, None, None) and "reported_cost_usd" not in found
    # the tokens of a stream that was cancelled are known
    assert helicone(response_status=-3)["output_tokens"] == 20


def test_numbers_of_helicone_can_be_texts() -> None:
    names = ("prompt_tokens", "prompt_cache_read_tokens", "completion_tokens", "delay_ms", "cost", "response_status")
    assert helicone(**{name: str(HELICONE[name]) for name in names}) == helicone()


def test_tokens_that_helicone_could_not_count_are_unknown() -> None:
    found = helicone(prompt_tokens=-1, completion_tokens=-1)
    assert not {"input_tokens", "output_tokens"} & found.keys()
    assert reasons("helicone", {**HELICONE, "prompt_tokens": -2}) == ["input_tokens is negative"]
    assert reasons("helicone", {**HELICONE, "prompt_tokens": "many"}) == ["input_tokens is not a number"]


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        ({"model_override": "my-model"}, "my-model"),
        ({"response_model": None}, "gpt-4o"),
        ({"response_model": "unknown"}, "gpt-4o"),
        ({"response_model": "", "request_model": "", "model": "gpt-4o-mini"}, "gpt-4o-mini"),
    ],
)
def test_the_model_of_helicone(fields: Line, model: str) -> None:
    assert helicone(**fields)["model"] == model


def test_texts_that_mean_no_value_in_helicone() -> None:
    found = helicone(request_user_id="undefined", provider="CUSTOM", time_to_first_token=0)
    assert not {"user_id", "provider", "time_to_first_token_ms"} & found.keys()
    assert "user_id" not in helicone(request_user_id="null")


@pytest.mark.parametrize(
    ("path", "operation"),
    [
        ("/v1/embeddings", "embeddings"),
        ("/v1/messages", "chat"),
        ("/v1/responses", "chat"),
        ("/v1/images/generations", None),
    ],
)
def test_the_operation_of_helicone_is_that_of_its_path(path: str, operation: str | None) -> None:
    found = helicone(request_path=path)
    assert (found.get("operation"), found["endpoint"]) == (operation, path)


# ---------------------------------------------------------------- both


@pytest.mark.parametrize(
    ("line", "name"),
    [(LANGFUSE, "langfuse"), (as_api(LANGFUSE), "langfuse"), (HELICONE, "helicone"), (SPEND, "litellm")],
)
def test_only_one_format_recognizes_a_line(line: Line, name: str) -> None:
    found = counts(parser(), [as_line(line).decode()])
    assert {other for other, matches in found.items() if matches} == {name}
