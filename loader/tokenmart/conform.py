"""The SQL that checks every line against the event contract, and turns what a format selects into its columns."""

from collections.abc import Mapping

from tokenmart.contract import CONTENT_COLUMNS, FORMAT_COLUMNS, INDEXED, INDEXED_BYTES, Kind


def conform(selected: Mapping[str, bool], *, keep_content: bool) -> str:
    """SQL that turns the relation `selected` of a format into the contract's columns and a `reject_reason`.

    `selected` maps each column that the format selects to whether its type is DuckDB's JSON.

    Text is read as text: numbers are checked before they are cast, and a naive timestamp is read in the session's time
    zone. Money is made from its digits: all digits of a text, and the 17 digits of a JSON number that a double
    carries, so that a log written from doubles loses none. `input_tokens` includes its cached parts, `output_tokens`
    its reasoning, and cache writes the one-hour ones: a part that is greater than its whole cannot be included in it.
    """
    texts, faults, typed = [], [], []
    for name, kind in FORMAT_COLUMNS.items():
        if name not in selected or (name in CONTENT_COLUMNS and not keep_content):
            texts.append(f"cast(null as varchar) as {name}")
            typed.append(f"cast(null as {_SQL_TYPES[kind]}) as {name}")
            continue
        # a timestamp may have its own type; casting JSON to text would keep the quotes of a text
        as_text = name if kind == "timestamp" else f"cast({name} as varchar)"
        if selected[name] and kind in ("text", "timestamp"):
            as_text = f"json_extract_string({name}, '$')"
        texts.append(f"{as_text} as {name}")
        typed.append(f"{_CASTS[kind].format(name)} as {name}")
        if name in INDEXED:
            faults.append(f"case when strlen({name}) > {INDEXED_BYTES} then '{name} is longer than 2,000 bytes' end")
        if kind == "tokens":
            faults.append(f"token_fault('{name}', {name})")
        elif kind == "money":
            faults.append(f"money_fault('{name}', {name})")
    for name in CONTENT_COLUMNS:
        is_left_out = f"{name} is not null" if name in selected and not keep_content else "false"
        texts.append(f"{is_left_out} as has_{name}")
    counted = " + ".join(f"coalesce(number({name}), 0)" for name, kind in FORMAT_COLUMNS.items() if kind == "tokens")
    odd_durations = [
        f"{name} is not null and milliseconds({name}) is null as has_odd_{name}"
        for name, kind in FORMAT_COLUMNS.items()
        if kind == "milliseconds"
    ]
    return f"""
        texts as (select line_id, {", ".join(texts)} from selected),
        typed as (
            select
                line_id,
                {", ".join(typed)},
                coalesce(money(reported_cost_usd) < 0, false) as has_negative_cost,
                {", ".join(odd_durations)},
                {", ".join(f"has_{name}" for name in CONTENT_COLUMNS)},
                case
                    when occurred_at is null then 'no timestamp'
                    when try_cast(occurred_at as timestamptz) is null then 'timestamp does not parse'
                    when not try_cast(occurred_at as timestamptz) between timestamptz '2000-01-01 00:00:00+00'
                        and timestamptz '2099-12-31 23:59:59.999999+00' then 'timestamp is not between 2000 and 2099'
                    else coalesce(
                        {", ".join([*faults, "null"])},
                        case
                            when coalesce(
                                nullif(model, ''), nullif(requested_model, ''), reported_cost_usd, duration_ms
                            ) is null
                            then if({counted} = 0, 'no model, tokens, cost or duration', null)
                        end
                    )
                end as reject_reason
            from texts
        ),
        whole_writes as (
            select
                * replace (
                    case
                        when cache_write_1h_tokens > coalesce(cache_write_tokens, 0)
                        then coalesce(cache_write_tokens, 0) + cache_write_1h_tokens
                        else cache_write_tokens
                    end as cache_write_tokens
                )
            from typed
        ),
        inclusive as (
            select
                * replace (
                    case when reported_cost_usd >= 0 then reported_cost_usd end as reported_cost_usd,
                    case
                        when token_convention = 'exclusive' or {_PARTS} > input_tokens then 'exclusive' else 'inclusive'
                    end as token_convention,
                    case
                        when token_convention = 'exclusive' or {_PARTS} > input_tokens then input_tokens + {_PARTS}
                        else input_tokens
                    end as input_tokens,
                    case
                        when reasoning_tokens > output_tokens then output_tokens + reasoning_tokens else output_tokens
                    end as output_tokens
                )
            from whole_writes
        )
        select * from inclusive
    """


_PARTS = "(coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0))"
_SQL_TYPES: dict[Kind, str] = {
    "text": "varchar",
    "timestamp": "timestamptz",
    "tokens": "bigint",
    "milliseconds": "double",
    "money": "decimal(38, 12)",
    "boolean": "boolean",
    "json": "varchar",
    "bigint": "bigint",
}
_CASTS: dict[Kind, str] = {
    "text": "landed_text({})",
    "timestamp": "try_cast({} as timestamptz)",
    "tokens": "tokens({})",
    "milliseconds": "milliseconds({})",
    "money": "money({})",
    "boolean": "try_cast({} as boolean)",
    "json": "landed_text({})",
    "bigint": "cast({} as bigint)",
}
