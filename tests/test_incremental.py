"""After every run the marts equal a recount of all loaded lines, and only the dates that changed were built."""

import datetime as dt

import pytest

from story import (
    ALONE_ON_ITS_DAY,
    BASE,
    BEFORE_MIDNIGHT,
    CTM_EARLIER,
    CTM_LATER,
    DAILY,
    MINI,
    Story,
    event,
    snapshot,
)


def test_the_first_build_counts_everything_and_the_second_changes_nothing(story: Story) -> None:
    assert story.mart.query("select count(*), min(usage_date), max(usage_date) from marts.llm_requests") == [
        (452, dt.date(2026, 1, 1), dt.date(2026, 1, 20))
    ]
    assert story.mart.query("select count(*) from marts.daily_errors_by_type") > [(10,)]
    before = story.everything()
    story.step(bounds=[])
    assert story.everything() == before


def test_a_new_day_and_an_event_ten_days_late_change_only_their_two_days(story: Story) -> None:
    story.load(event("late", "2026-01-03T05:00:00"), *(event(f"n{i}", f"2026-01-13T0{i}:00:00") for i in range(3)))
    days = ["2026-01-03", "2026-01-13"]
    story.step(days=days, requests=["late", "n0", "n1", "n2"], bounds=days)
    story.step(bounds=[])


def test_snapshots_across_midnight_move_their_requests_and_an_emptied_day_disappears(story: Story) -> None:
    story.load(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-13T00:00:20Z", output_tokens=159),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-21T00:00:20Z", output_tokens=159, cost_usd=0.1),
    )
    days = ["2026-01-12", "2026-01-13", "2026-01-20", "2026-01-21"]
    story.step(days=days, requests=["moving", "alone"], bounds=days)
    for mart in DAILY:
        assert story.mart.query(f"select count(*) from marts.{mart} where usage_date = date '2026-01-20'") == [(0,)]
    story.step()
    # move them again, one back to the day that was emptied
    story.load(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-14T00:00:20Z", output_tokens=500),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-20T00:00:00Z", output_tokens=500),
    )
    story.step(
        days=["2026-01-13", "2026-01-14", "2026-01-20", "2026-01-21"],
        requests=["moving", "alone"],
        bounds=["2026-01-13", "2026-01-14", "2026-01-20", "2026-01-21"],
    )


def test_events_loaded_again_change_no_row(story: Story) -> None:
    before = story.everything()
    story.load(*BASE[:40], name="copy.jsonl", options=["--again"])
    story.load(*reversed(BASE[:40]), *BASE[20:60], *BASE[:40], name="twice.jsonl")
    story.step(bounds=["2026-01-01", "2026-01-02"])
    after = story.everything()
    # except the bookkeeping: two more loads, each listed and processed, and their two days
    assert len(after.pop("loads")) == len(before.pop("loads")) + 4
    assert len(after.pop("affected_dates")) == len(before.pop("affected_dates")) + 2
    assert after == before


def test_an_incomplete_load_is_ignored_until_it_is_complete(story: Story) -> None:
    fuller = snapshot(BASE[10], output_tokens=5000, provider="openai", model=MINI)
    load_id = story.load(fuller, event("lost", "2026-01-05T03:00:00"))
    story.mark(load_id, is_complete=False)
    story.step(bounds=[])
    story.build("--full-refresh")
    story.load(
        snapshot(fuller, output_tokens=4000),
        event("other", "2026-01-14T02:00:00"),
        event("same day", BASE[10]["timestamp"].removesuffix("Z")),
    )
    story.step(days=["2026-01-01", "2026-01-14"], requests=["e10", "other", "same day"])
    count = "select count(*), max(loaded_at) from marts.llm_requests where usage_date = date '2026-01-01'"
    before = story.mart.query(count)
    story.mark(load_id, is_complete=True)
    story.step(days=["2026-01-01", "2026-01-05"], requests=["e10", "lost"])
    assert story.mart.query(count) == before, "a watermark or a count would miss the load"


def test_a_load_that_changes_nothing_writes_nothing(story: Story) -> None:
    line = event("streamed", "2026-01-13T01:00:00", output_tokens=700, status="success")
    story.load(line)
    story.step(days=["2026-01-13"], requests=["streamed"])
    # snapshots with less output that arrive late, one of them with an earlier day
    story.load(
        snapshot(line, output_tokens=20),
        snapshot(line, output_tokens=10, timestamp="2026-01-11T01:00:00Z"),
        *(snapshot(known, output_tokens=0) for known in BASE[:5] if known["output_tokens"]),
    )
    story.step(bounds=["2026-01-01", "2026-01-11", "2026-01-13"])
    story.step(bounds=[])


def test_marts_that_were_left_out_of_a_run_catch_up(story: Story) -> None:
    story.load(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-13T00:00:20Z", output_tokens=159),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-19T00:00:20Z", output_tokens=159),
    )
    story.dbt("run", "-s", "loads", "stg_usage__events", "affected_dates", "llm_requests")
    story.load(event("m1", "2026-01-16T02:00:00"))
    story.dbt("run", "-s", "loads", "stg_usage__events", "affected_dates", "llm_requests")
    story.load(event("m2", "2026-01-17T02:00:00"))
    story.step(
        days=["2026-01-12", "2026-01-13", "2026-01-16", "2026-01-17", "2026-01-19", "2026-01-20"],
        requests=["m2"],
        bounds=["2026-01-17"],
    )


def test_days_lost_from_single_marts_are_repaired(story: Story) -> None:
    before = story.everything()
    story.mart.query("delete from marts.daily_costs_by_model where usage_date = date '2026-01-03'")
    story.mart.query("delete from marts.daily_latency where usage_date >= date '2026-01-12'")
    story.mart.query("update marts.hourly_costs set requests = requests + 1 where usage_date = date '2026-01-05'")
    story.step(
        days_of={
            "daily_costs_by_model": ["2026-01-03"],
            "daily_latency": ["2026-01-12", "2026-01-20"],
            "hourly_costs": ["2026-01-05"],
        }
    )
    assert story.everything() == before


def test_dates_lost_from_request_days_are_counted_again(story: Story) -> None:
    before = story.everything()
    story.mart.query("delete from marts.request_days where usage_date in (date '2026-01-03', date '2026-01-20')")
    story.mart.query("delete from marts.daily_costs where usage_date = date '2026-01-20'")
    story.step(days_of={"daily_costs": ["2026-01-20"]})
    assert story.everything() == before


def test_a_date_of_lost_snapshots_alone_is_counted_once(story: Story) -> None:
    story.load(snapshot(BASE[100], timestamp="2026-01-16T05:00:00Z", output_tokens=0))
    story.step()
    counted = story.everything()
    assert story.mart.query("select requests from marts.request_days where usage_date = date '2026-01-16'") == [(0,)]
    story.step()
    assert story.everything() == counted


def test_a_load_that_lost_its_mark_is_processed_again_without_changes(story: Story) -> None:
    before = story.everything()
    story.mart.query("delete from marts.loads where load_status = 'processed'")
    story.step(bounds=sorted({line["timestamp"][:10] for line in BASE} | {"2026-01-12", "2026-01-20"}))
    after = story.everything()
    # each load is listed once more
    loads = [(load_id, status) for load_id, _, status in before.pop("loads")]
    assert sorted(row[::2] for row in after.pop("loads")) == sorted(
        loads + [row for row in loads if row[1] == "processing"]
    )
    assert set(after.pop("affected_dates")) > set(before.pop("affected_dates"))
    assert after == before


def test_batch_ids_increase_even_if_an_earlier_clock_was_fast(story: Story) -> None:
    story.mart.query("insert into marts.loads values ('of a clock ahead', 9000000000000000, 'processed')")
    story.load(event("m1", "2026-01-03T02:00:00"))
    story.step(days=["2026-01-03"], requests=["m1"])
    assert story.mart.query("select max(batch_id) from marts.daily_costs") == [(9000000000000001,)]
    story.load(event("m2", "2026-01-04T02:00:00"))
    story.step(days=["2026-01-04"], requests=["m2"])


def test_the_audit_finds_a_request_that_is_missing_from_llm_requests(story: Story) -> None:
    story.load(event("new", "2026-01-13T05:00:00"))
    story.step(days=["2026-01-13"], requests=["new"])
    story.mart.query("delete from marts.llm_requests where event_id = 'e200'")  # 2026-01-06
    story.mart.run("build", "--force")
    found = story.mart.run("audit", code=1).output
    assert "assert_no_request_is_lost_or_doubled" in found and "event_id=e200" in found and "--full-refresh" in found
    assert "daily_costs_by_model" in found
    story.dbt("run", "-s", "request_days", "--full-refresh")
    story.dbt("run")
    assert story.literal_days("compiled/tokenmart/models/marts/daily_costs.sql") == ["2026-01-06"]
    story.load(BASE[200], options=["--again"])
    story.step(days=["2026-01-06"], requests=["e200"])
    story.mart.run("audit")


def test_a_build_finds_missing_and_duplicate_requests_on_affected_dates(story: Story) -> None:
    story.mart.query("delete from marts.llm_requests where event_id = 'e200'")  # 2026-01-06
    story.mart.query("insert into marts.llm_requests from marts.llm_requests where event_id = 'e0'")  # 2026-01-01
    story.load(event("new", "2026-01-06T05:00:00"))
    failed = story.mart.json("build", code=1)["failures"]
    assert [failure for failure in failed if "lost_or_doubled" in failure and "event_id=e200, times=0" in failure]
    story.load(event("newer", "2026-01-01T05:00:00"))
    failed = story.mart.json("build", code=1)["failures"]
    assert [failure for failure in failed if "lost_or_doubled" in failure and "event_id=e0, times=2" in failure]


def test_a_run_without_affected_dates_stops_before_it_duplicates_rows(story: Story) -> None:
    story.load(snapshot(BASE[0], output_tokens=5000))
    outcome = story.invoke("run", "-s", "loads", "llm_requests")
    assert "llm_requests needs the rows that loads and affected_dates add in the same run" in str(
        outcome.result.results[-1].message
    )
    story.build()


def test_a_run_without_the_loads_stops_if_some_are_not_processed(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a failure of llm_requests, which `dbt retry` starts again without the loads of the failed run."""
    refused = "llm_requests needs the rows that loads and affected_dates add in the same run"
    story.load(event("new", "2026-01-13T05:00:00"))
    for selected in (["llm_requests+"], ["affected_dates+"]):
        outcome = story.invoke("run", "-s", *selected)
        assert refused in str([result.message for result in outcome.result.results])
    # listed by a run that did not process it
    story.dbt("run", "-s", "loads", "affected_dates")
    # dbt retry reads the results of the failed run from a file
    monkeypatch.setenv("DBT_WRITE_JSON", "true")
    outcome = story.invoke("run", "-s", "llm_requests+")
    assert refused in str([result.message for result in outcome.result.results])
    outcome = story.invoke("retry")
    assert refused in str([result.message for result in outcome.result.results])
    story.dbt("compile", "-s", "llm_requests")
    story.dbt("run", "--empty", "-s", "llm_requests+")
    story.step(days=["2026-01-13"], requests=["new"])
    story.dbt("run", "-s", "llm_requests+")


def test_a_run_without_retention_does_not_search_the_history_for_deleted_requests(story: Story) -> None:
    # a search would find that the first day is missing
    story.mart.query("delete from marts.llm_requests where usage_date = date '2026-01-01'")
    story.dbt("run", "-s", "llm_requests")


def test_a_full_refresh_gives_the_same_rows_as_the_runs_before_it(story: Story) -> None:
    story.load(event("late", "2026-01-03T05:00:00"), event("new", "2026-01-13T05:00:00"), *BASE[100:150])
    story.step(days=["2026-01-03", "2026-01-13"], requests=["late", "new"])
    story.load(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-13T00:00:20Z", output_tokens=159),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-21T00:00:20Z", output_tokens=159),
        snapshot(BASE[50], timestamp="2026-01-09T00:00:00Z", output_tokens=0),
    )
    story.step(days=["2026-01-12", "2026-01-13", "2026-01-20", "2026-01-21"], requests=["moving", "alone"])
    story.load(*CTM_LATER, name="later.jsonl")
    story.build()
    story.load(*CTM_EARLIER, name="earlier.jsonl")
    story.build()
    before = story.contents()
    story.build("--full-refresh")
    after = story.contents()
    for model in before:
        assert after[model] == before[model], model
    story.step(bounds=[])


def test_an_interrupted_rebuild_leaves_no_date_of_deleted_events(story: Story) -> None:
    before = story.contents()
    load_id = story.load(event("only", "2026-01-15T05:00:00", model=MINI, status="error"))
    story.build()
    story.mart.run("undo", load_id, "--yes", "--no-build")
    story.loads.pop()
    # the full refresh that the undo needs ends after llm_requests
    story.dbt("run", "--full-refresh", "-s", "+llm_requests")
    story.build()
    assert story.contents() == before


def test_rows_duplicated_by_concurrent_builds_are_repaired_by_the_next_build(story: Story) -> None:
    """As after two concurrent runs on the same load: both have written, counted and marked it."""
    before = story.contents()
    story.load(event("new", "2026-01-13T05:00:00"), snapshot(BASE[0], output_tokens=5000))
    story.build()
    story.process_again()
    story.build()
    repaired = story.everything()
    story.step()
    assert story.everything() == repaired
    after = story.contents()
    story.build("--full-refresh")
    assert story.contents() == after != before


def test_a_day_that_was_counted_without_the_rows_of_another_run_is_counted_again(story: Story) -> None:
    story.load(event("new", "2026-01-12T05:00:00"))
    story.build()
    before = story.contents()
    story.mart.query("update marts.request_days set requests = requests - 1 where usage_date = date '2026-01-12'")
    story.build()
    assert story.contents() == before


def test_users_and_sessions_without_requests_vanish(story: Story) -> None:
    line = event("only", "2026-01-12T05:00:00", user_id="o'nly \\", session_id="'", output_tokens=5, status="success")
    story.load(line)
    story.build()
    story.load(snapshot(line, user_id="u1", session_id="s1", output_tokens=6))
    story.build()
    gone = "select count(*) from marts.users where user_id like 'o%' union all select count(*) from marts.sessions"
    assert story.mart.query(gone + " where ascii(session_id) = 39") == [(0,), (0,)]
