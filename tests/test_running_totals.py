"""Running totals count by their increase, in whatever order they arrive."""

from decimal import Decimal

from story import (
    CTM_EARLIER,
    CTM_LATER,
    Story,
    event,
    of_ctm,
    point,
)


def test_late_running_totals_change_the_increase_of_later_ones(empty: Story) -> None:
    by_day = (
        "select cast(usage_date as text), requests, input_tokens, output_tokens, cost_usd"
        " from marts.daily_costs order by usage_date"
    )
    empty.load(*CTM_LATER, name="later.jsonl")
    empty.build()
    assert empty.mart.query(by_day) == [("2026-01-31", 4, 454, 19, Decimal("0.004007"))]
    load_id = empty.load(*CTM_EARLIER, name="earlier.jsonl")
    empty.mark(load_id, is_complete=False)
    empty.build("--full-refresh")
    # session r1 had 275 of the 440 + 14 input tokens (with cached ones) at the end of the previous day
    empty.mark(load_id, is_complete=True)
    empty.build()
    assert empty.mart.query(by_day) == [
        ("2026-01-30", 2, 275, 9, Decimal("0.0025")),
        ("2026-01-31", 4, 179, 10, Decimal("0.001507")),
    ]
    assert empty.literal_days("compiled/tokenmart/models/marts/daily_costs.sql") == [
        "2026-01-30",
        "2026-01-31",
    ]


def test_a_repair_keeps_the_newer_increase_not_the_larger(empty: Story) -> None:
    increases = "select hour(occurred_at), reported_cost_usd from marts.llm_requests order by occurred_at"
    empty.load(point("r1", "2026-01-30T10:00:00", 10, 5, 100, 1_000), name="first.jsonl")
    empty.build()
    assert empty.mart.query(increases) == [(10, Decimal("0.001"))]
    empty.process_again()
    empty.load(point("r1", "2026-01-30T09:00:00", 6, 3, 60, 600), name="late.jsonl")
    empty.build()
    assert empty.mart.query(increases) == [(9, Decimal("0.0006")), (10, Decimal("0.0004"))]


def test_running_totals_loaded_again_change_no_row(empty: Story) -> None:
    empty.load(*CTM_EARLIER, *CTM_LATER, name="totals.jsonl")
    empty.build()
    before = empty.everything()
    empty.load(*CTM_EARLIER, *CTM_LATER, name="totals.jsonl", options=["--again"])
    empty.step()
    after = empty.everything()
    assert len(after.pop("loads")) == len(before.pop("loads")) + 2
    assert len(after.pop("affected_dates")) == len(before.pop("affected_dates")) + 2
    assert after == before


def test_a_running_total_that_decreases_in_one_column_does_not_stop_the_build(empty: Story) -> None:
    empty.load(
        point("r1", "2026-01-30T23:00:00", 100, 10, 0, 500),
        point("r1", "2026-01-30T23:00:10", 50, 20, 40, 600),
        name="totals.jsonl",
    )
    empty.load(event("good", "2026-01-30T12:00:00"))
    for options in ([], ["--full-refresh"]):
        empty.build(*options)
        assert empty.mart.query(
            "select sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), sum(cost_usd)"
            " from marts.llm_requests where is_running_total"
        ) == [(140, 40, 20, Decimal("0.0006"))]


def test_one_more_running_total_changes_only_its_own_request(empty: Story) -> None:
    empty.load(*CTM_EARLIER, *CTM_LATER, name="totals.jsonl")
    empty.build()
    last = point("r1", "2026-02-01T00:20:00", 45, 13, 450, 4_500)
    empty.load(last, name="last.jsonl")
    empty.step(days=["2026-02-01"], requests=[event["id"] for event in of_ctm([last])])
