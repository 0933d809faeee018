"""Lines of the gateways LiteLLM and OpenRouter become the expected rows."""

import json
from decimal import Decimal
from typing import Any

import pytest

from parsing import Line, at, row

# ---------------------------------------------------------------- litellm

USAGE: Line = {
    "prompt_tokens": 2321,
    "completion_tokens": 105,
    "prompt_tokens_details": {
        "cached_tokens": 1024,
        "cache_creation_tokens": 512,
        "cache_creation_token_details": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 512},
    },
    "completion_tokens_details": {"reasoning_tokens": 40},
}
METADATA: Line = {
    "user_api_key_hash": "88dc28d0f030c55e",
    "user_api_key_alias": "key-1",
    "user_api_key_user_id": "u1",
    "user_api_key_team_id": "t1",
    "user_api_key_team_alias": "search",
    "user_api_key_org_id": "o1",
    "user_api_key_project_alias": "care",
    "usage_object": USAGE,
}
LITELLM: Line = {
    "id": "chatcmpl-1",
    "litellm_call_id": "c-1",
    "trace_id": "t-1",
    "session_id": "",
    "call_type": "acompletion",
    "cache_hit": None,
    "stream": True,
    "status": "success",
    "custom_llm_provider": "anthropic",
    "startTime": 1793525400.123,
    "endTime": 1793525402.5,
    "completionStartTime": 1793525401.0,
    "model": "claude-sonnet-4-5",
    "model_group": "sonnet",
    "api_base": "https://llm.example/v1",
    "response_cost": 0.0073,
    "prompt_tokens": 2321,
    "completion_tokens": 105,
    "end_user": "e1",
    "request_tags": ["env:prod", "beta", "env:test"],
    "metadata": METADATA,
    "messages": [{"role": "user", "content": "Hello"}],
    "response": {"choices": []},
}
SPEND: Line = {
    "request_id": "chatcmpl-1",
    "litellm_call_id": "c-1",
    "call_type": "acompletion",
    "cache_hit": "None",
    "startTime": "2026-11-01 09:30:00.123000",
    "endTime": "2026-11-01 09:30:02.500000+00:00",
    "completionStartTime": "2026-11-01 09:30:01+00:00",
    "model": "claude-sonnet-4-5",
    "model_group": "sonnet",
    "custom_llm_provider": "anthropic",
    "api_base": "https://llm.example/v1",
    "spend": 0.0073,
    "prompt_tokens": 2321,
    "completion_tokens": 105,
    "user": "u1",
    "end_user": "e1",
    "team_id": "t1",
    "organization_id": "o1",
    "request_tags": '["env:prod", "beta", "env:test"]',
    "metadata": json.dumps(METADATA),
    "status": "success",
}


def test_a_payload_of_litellm_lands() -> None:
    assert row("litellm", LITELLM) == {
        "event_id": "chatcmpl-1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123000),
        "duration_ms": 2377.0,
        "time_to_first_token_ms": 877.0,
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "requested_model": "sonnet",
        "operation": "acompletion",
        "endpoint": "https://llm.example/v1",
        # 785 uncached, 1,024 read from the cache and 512 written to it
        "input_tokens": 2321,
        "cache_read_tokens": 1024,
        "cache_write_tokens": 512,
        "cache_write_1h_tokens": 512,
        "output_tokens": 105,
        "reasoning_tokens": 40,
        "token_convention": "inclusive",
        "reported_cost_usd": Decimal("0.0073"),
        "user_id": "u1",
        "organization_id": "o1",
        "team": "search",
        "project": "care",
        "app_name": "litellm",
        "status": "success",
        "request_id": "c-1",
        "trace_id": "t-1",
        "tags": {"env": "prod", "beta": "true", "key_alias": "key-1", "end_user": "e1"},
    }


def test_a_row_of_spend_logs_is_the_same_request() -> None:
    expected = row("litellm", LITELLM)
    del expected["time_to_first_token_ms"], expected["trace_id"]
    assert row("litellm", SPEND) == expected


@pytest.mark.parametrize(
    ("cost", "cache_hit", "reported"),
    [
        (0.0, None, None),
        (0.0, True, Decimal(0)),
        (0, "True", Decimal(0)),
        (0.5, "False", Decimal("0.5")),
        (None, None, None),
    ],
)
def test_a_cost_of_0_is_unknown_unless_the_response_was_cached(cost: Any, cache_hit: Any, reported: Any) -> None:
    found = row("litellm", {**LITELLM, "response_cost": cost, "cache_hit": cache_hit})
    assert found.get("reported_cost_usd") == reported
    assert found.get("is_billed") is (False if reported == 0 else None)


def test_a_failure_of_litellm_has_no_tokens() -> None:
    error = {"error_class": "RateLimitError", "error_code": "429", "error_message": "slow down"}
    line = {**LITELLM, "status": "failure", "prompt_tokens": 0, "completion_tokens": 0, "response_cost": 0.0}
    found = row("litellm", {**line, "metadata": {}, "error_information": error})
    assert (found["status"], found["error_type"], found["error_message"]) == ("error", "RateLimitError", "slow down")
    assert not {"input_tokens", "output_tokens", "reported_cost_usd"} & found.keys()


# ---------------------------------------------------------------- openrouter

OPENROUTER: Line = {
    "id": "gen-1",
    "upstream_id": "chatcmpl-1",
    "created_at": "2026-11-01T09:30:00.123456",
    "model": "openai/gpt-4o",
    "provider_name": "Azure",
    "api_type": "completions",
    "cancelled": False,
    "is_byok": False,
    "latency": 450,
    "generation_time": 1200,
    "tokens_prompt": 99,
    "tokens_completion": 11,
    "native_tokens_prompt": 120,
    "native_tokens_completion": 30,
    "native_tokens_reasoning": 10,
    "native_tokens_cached": 100,
    "total_cost": 0.00015,
    "usage": 0.00015,
    "upstream_inference_cost": 0.003,
    "external_user": "ada",
}


def test_a_generation_of_openrouter_lands_with_the_native_tokens() -> None:
    found = row("openrouter", OPENROUTER)
    extra = found.pop("extra")
    assert extra["provider_name"] == "Azure" and extra["tokens_prompt"] == 99
    assert found == {
        "event_id": "gen-1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
        "duration_ms": 1200.0,
        "time_to_first_token_ms": 450.0,
        "provider": "openrouter",
        "model": "openai/gpt-4o",
        "operation": "completions",
        "input_tokens": 120,
        "cache_read_tokens": 100,
        "output_tokens": 30,
        "reasoning_tokens": 10,
        "token_convention": "inclusive",
        "reported_cost_usd": Decimal("0.00015"),
        "user_id": "ada",
        "status": "success",
        "request_id": "chatcmpl-1",
    }


def test_with_a_key_of_ones_own_the_upstream_cost_is_added() -> None:
    assert row("openrouter", {**OPENROUTER, "is_byok": True})["reported_cost_usd"] == Decimal("0.00315")


def test_a_cancelled_generation_is_cancelled() -> None:
    assert row("openrouter", {**OPENROUTER, "cancelled": True})["status"] == "cancelled"
