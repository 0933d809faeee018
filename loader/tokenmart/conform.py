"""SQL that checks every line against the event contract, and converts what a format selects to its columns."""

from collections.abc import Mapping

from tokenmart.contract import CONTENT_COLUMNS, FORMAT_COLUMNS, INDEXED, INDEXED_BYTES, TOOL_CALL_COLUMNS, Kind

TOOL_NAME = r"[\w .:/@()-]{1,128}"


def conform(
    selected: Mapping[str, bool], *, keep_content: bool, defaults: Mapping[str, str], needs_time: bool = True
) -> str:
    """SQL that turns the relation `selected` of a format into `line_id`, FORMAT_COLUMNS, OMISSIONS and `reject_reason`.

    `selected` maps each column that the format selects to whether its type is JSON in DuckDB. `defaults` has values for
    text columns that are NULL or empty. Without `needs_time`, a line without a time is not rejected.

    All values are first cast to text, so that numbers are checked before they are cast. A timestamp without a time zone
    is read in the time zone of the session. Money is parsed as a decimal: from all digits of a text, and from the 17
    significant digits of a JSON number, which are enough for any double.

    In the result, `input_tokens` includes cached tokens, `output_tokens` includes reasoning tokens, and
    `cache_write_tokens` includes one-hour writes. If a part is greater than its total, the total does not include it,
    and the part is added.
    """
    texts, errors, typed = [], [], []
    for name, kind in FORMAT_COLUMNS.items():
        default = _literal(defaults[name]) if name in defaults else None
        if name not in selected and default:
            texts.append(f"cast({default} as varchar) as {name}")
            typed.append(name)
            continue
        if name not in selected or (name in CONTENT_COLUMNS and not keep_content):
            texts.append(f"cast(null as varchar) as {name}")
            typed.append(f"cast(null as {_SQL_TYPES[kind]}) as {name}")
            continue
        as_text = _as_text(name, kind, is_json=selected[name])
        texts.append(f"coalesce(nullif({as_text}, ''), {default}) as {name}" if default else f"{as_text} as {name}")
        typed.append(f"{_CASTS[kind].format(name)} as {name}")
        if name in INDEXED:
            errors.append(f"case when strlen({name}) > {INDEXED_BYTES} then '{name} is longer than 2,000 bytes' end")
        if kind == "tokens":
            errors.append(f"token_count_error('{name}', {name})")
        elif kind == "money":
            errors.append(f"money_error('{name}', {name})")
    for name in CONTENT_COLUMNS:
        has_content = f"{name} is not null" if name in selected and not keep_content else "false"
        texts.append(f"{has_content} as has_{name}")
    all_tokens = " + ".join(f"coalesce(number({name}), 0)" for name, kind in FORMAT_COLUMNS.items() if kind == "tokens")
    invalid_durations = [
        f"{name} is not null and milliseconds({name}) is null as has_invalid_{name}"
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
                {", ".join(invalid_durations)},
                {", ".join(f"has_{name}" for name in CONTENT_COLUMNS)},
                case
                    when occurred_at is null and {str(needs_time).lower()} then 'no timestamp'
                    when occurred_at is not null and try_cast(occurred_at as timestamptz) is null
                    then 'timestamp does not parse'
                    when not try_cast(occurred_at as timestamptz) between {_FIRST_TIME} and {_LAST_TIME}
                    then 'timestamp is not between 2000 and 2099'
                    else coalesce(
                        {", ".join([*errors, "null"])},
                        case
                            when coalesce(
                                nullif(model, ''), nullif(requested_model, ''), reported_cost_usd, duration_ms
                            ) is null
                            -- a failed request is counted, even if nothing else is known about it
                            and coalesce(nullif(status, ''), 'success') = 'success'
                            then if({all_tokens} = 0, 'no model, tokens, cost or duration', null)
                        end
                    )
                end as reject_reason
            from texts
        ),
        with_one_hour_writes as (
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
                        when token_convention = 'exclusive' or {_CACHED_TOKENS} > input_tokens then 'exclusive'
                        else 'inclusive'
                    end as token_convention,
                    case
                        when token_convention = 'exclusive' or {_CACHED_TOKENS} > input_tokens
                        then input_tokens + {_CACHED_TOKENS}
                        else input_tokens
                    end as input_tokens,
                    case
                        when reasoning_tokens > output_tokens then output_tokens + reasoning_tokens else output_tokens
                    end as output_tokens
                )
            from with_one_hour_writes
        )
        select * from inclusive
    """


def conform_tool_calls(selected: Mapping[str, bool], *, defaults: Mapping[str, str]) -> str:
    """SQL that turns the relation `selected` of the view `tool_calls` into `line_id` and TOOL_CALL_COLUMNS.

    The arguments are those of `conform`. Values that the contract does not allow become NULL. A started call without an
    id gets one that is computed from its other columns; a result without an id is left out.
    """
    texts = []
    for name, kind in TOOL_CALL_COLUMNS.items():
        text = _as_text(name, kind, is_json=selected[name]) if name in selected else "cast(null as varchar)"
        if name in defaults:
            text = f"coalesce(nullif({text}, ''), {_literal(defaults[name])})"
        texts.append(f"{text} as {name}")
    typed = {name: _CASTS[kind].format(name) for name, kind in TOOL_CALL_COLUMNS.items()}
    times = [name for name, kind in TOOL_CALL_COLUMNS.items() if kind == "timestamp"]
    for name in times:
        typed[name] = f"case when {typed[name]} between {_FIRST_TIME} and {_LAST_TIME} then {typed[name]} end"
    content = ", ".join(f"cast({name} as varchar)" for name in TOOL_CALL_COLUMNS if name != "tool_call_id")
    own_id = f"if(strlen(tool_call_id) between 1 and {INDEXED_BYTES}, tool_call_id, null)"
    typed["tool_call_id"] = f"coalesce({own_id}, md5(concat_ws(' ', {content})))"
    # names of tools are short; anything else could be content
    typed["tool_name"] = f"if(tool_name is null or {_IS_TOOL_NAME}, nullif(tool_name, ''), '(unusual name)')"
    typed["status"] = "case when status in ('success', 'error') then status end"
    return f"""
        texts as (select line_id, {", ".join(texts)} from selected)
        select line_id, {", ".join(f"{sql} as {name}" for name, sql in typed.items())}
        from texts
        where coalesce(tool_call_id, '') <> '' or started_at is not null
    """


def _as_text(name: str, kind: Kind, *, is_json: bool) -> str:
    """SQL for the selected column as text. A timestamp may have any type, and a JSON text would keep its quotes."""
    if is_json and kind in ("text", "timestamp"):
        return f"json_extract_string({name}, '$')"
    return name if kind == "timestamp" else f"cast({name} as varchar)"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_FIRST_TIME, _LAST_TIME = (f"timestamptz '{time}+00'" for time in ("2000-01-01 00:00:00", "2099-12-31 23:59:59.999999"))
_IS_TOOL_NAME = f"regexp_full_match(tool_name, {_literal(TOOL_NAME)})"
_CACHED_TOKENS = "(coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0))"
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
    "bigint": "try_cast({} as bigint)",
}
