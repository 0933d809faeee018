"""Decides which unmapped values are kept: short harmless ones, but no content and no credentials."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

COLUMNS = ("tags", "extra")
LONGEST_TEXT = 200  # characters, of a key too
DEEPEST = 8

OMITTED = pa.schema([("line_id", pa.int64()), ("key", pa.string()), ("reason", pa.string())])
Run = Callable[..., pa.Table]


@dataclass(frozen=True)
class Keep:
    """What is kept on request: all content, or the values of some keys (names or dotted paths, case-insensitive)."""

    content: bool = False
    keys: tuple[str, ...] = ()


# A key is compared without case and separators: userPrompt, User-Prompt and USER_PROMPT are one.
_CONTENT = (
    "answer|argument|attachment|caption|choice|clipboard|completion|content|conversation|description|dialog|document"
    "|embedding|excerpt|explanation|functioncall|instruction|markdown|messag|plaintext|preview|prompt|query|queries"
    "|question|rationale|reasoning|request|response|snapshot|snippet|speech|summary|thinking|thought|title|toolcall"
    "|toolinput|tooloutput|toolresult|transcript|utterance"
)
# these are part of other words too (context, filesystem), so they count as whole words of a key only
_CONTENT_WORDS = (
    "args|body|chat|chunks?|comments?|delta|feedback|headers?|history|html|inputs?|kwargs|notes?|outputs?|parameters"
    "|payload|raw|replies|reply|results?|stderr|stdout|subject|system|texts?|todos?"
)
# request_id, prompt_version, reasoning_effort are about the content
_ABOUT_CONTENT = (
    "(^|_)tokens(_|$)|_(at|bytes|code|cost|count|date|duration|effort|encoding|fingerprint|format|hash|ids?|kind"
    "|lang|language|latency|length|level|locale|mode|model|ms|name|price|rate|region|role|seconds|size|source|state"
    "|status|tier|time|timestamp|types?|uuid|version)$"
)
_CREDENTIAL = (
    "access_?key|api_?key|auth_?header|auth_?key|authoriz|bearer|connection_?string|cookie|credential|jwt|pass_?phrase"
    "|passwd|password|private_?key|pwd|secret|signing_?key|ssh_?key"
)
# a token is a credential, tokens are counted
_TOKEN_COUNT = "(^|_)(tokens|token_(budget|convention|cost|count|limit|price|rate|type|usage))(_|$)"
# In JSON, so that the quotes within a text have a backslash. None of them crosses the end of a text.
_CREDENTIAL_VALUE = "|".join(
    [
        r"(?i:bearer)\s+[\w.~+/=-]{4,}",
        r"(?i:basic)\s+[\w+/]{16,}=*",
        r"\bsk-[\w-]{6,}",
        r"\b[prs]k_(?:live|test)_\w{6,}",
        r"\bxox[a-z]-[\w-]{6,}",
        r"\bgh[a-z]_\w{10,}",
        r"\bgithub_pat_\w{10,}",
        r"\bglpat-[\w-]{10,}",
        r"\bhf_\w{10,}",
        r"\bA[KS]IA[A-Z0-9]{12,}",
        r"\bAIza[\w-]{20,}",
        r"\bya29\.[\w-]{10,}",
        r"\beyJ[\w-]{8,}\.[\w-]{4,}",
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"://[^/\s:@\"]+:[^/\s@\"]+@",
        r"""(?i:api[_-]?key|authorization|cookie|passw(?:or)?d|secret|token)(?:\\+["]|')?\s*[=:]\s*(?:\\+["]|')?[^\s"'\\]{4,}""",
    ]
)
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_LINE_BREAK = r"[\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]"
_JSON_IN_TEXT = r"""[{\[]\s*(?:["'{\[\\}\]]|$)|^\s*[{\[].*[}\]]\s*$"""
# keys may be free text too
_USUAL_KEY = r"[\pL\pN_.:/@#$+-]+(?: [\pL\pN_.:/@#$+-]+){0,2}"

# Most values are flat objects of short texts under harmless keys: two passes over the text see it.
_PLAIN_TEXT = r'"[^"\\{}\[\]\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]*"'
_PLAIN_MEMBER = rf'"[\w.-]+":(?:{_NUMBER}|true|false|null|{_PLAIN_TEXT})'
_PLAIN = rf"\{{(?:{_PLAIN_MEMBER}(?:,{_PLAIN_MEMBER})*)?\}}"
_MAY_BE_CONTENT = rf'(?:{_CONTENT}|{_CONTENT_WORDS})\w*":"[0-9e+]*[^0-9e+"]'
_MAY_BE_HARMFUL = f"(?i){_MAY_BE_CONTENT}|{_CREDENTIAL}|token"


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _is_in(events: pa.Table, rows: pa.Table, root: str) -> pa.Array:
    """Which events are among these rows of one column."""
    wanted = rows.filter(pc.equal(rows["root"], root))["row"]
    return pc.is_in(pa.arange(0, len(events)), wanted)


def _quoted(regex: str) -> str:
    return "'" + regex.replace("'", "''") + "'"


_RAW_CREDENTIAL = _CREDENTIAL.replace("_?", "[_. -]?")
_TEXT, _FLAT_ARRAY = r'"(?:[^"\\]|\\.)*"', r"\[[^\[\]{}]*\]"
_CREDENTIAL_MEMBER = rf'("[^"\\]*(?i:{_RAW_CREDENTIAL})[^"\\]*":)(?:{_TEXT}|{_FLAT_ARRAY}|{_NUMBER})'
_TOKEN_MEMBER = rf'("[^"\\]*(?i:token)[^"\\]*":)(?:{_TEXT}|\[{_TEXT}[^\[\]{{}}]*\])'
_DEEP_CREDENTIAL = rf'"[^"\\]*(?i:(?:{_RAW_CREDENTIAL})[^"\\]*|token(?:[^s"\\][^"\\]*)?)":[{{\[]'


def _has_credential(json: str) -> str:
    signs = (_CREDENTIAL_MEMBER, _TOKEN_MEMBER, _DEEP_CREDENTIAL, _CREDENTIAL_VALUE)
    return "(" + " or ".join(f"regexp_matches({json}, {_quoted(regex)})" for regex in signs) + ")"


def without_credentials(text: str, *members: str) -> str:
    """SQL that removes what looks like a credential from a text, and the JSON values that `members` match."""
    for regex in members:
        text = f"regexp_replace({text}, {_quoted(regex)}, '\\1null', 'g')"
    return f"regexp_replace({text}, {_quoted(_CREDENTIAL_VALUE)}, '(credential)', 'g')"


_ROOTS = f"""
    with
        roots as (
            select row, 'tags' as root, tags as value from batch where tags is not null
            union all
            select row, 'extra' as root, extra as value from batch where extra is not null
        ),
        open as (
            select
                row,
                root,
                case
                    when not json_valid(value) then to_json(value)
                    when json_type(value) = 'VARCHAR' and json_valid(value ->> '$') then value ->> '$'
                    else value
                end as value
            from roots
            where not case
                when $keep_content then not {_has_credential("value")}
                when strlen(value) > {LONGEST_TEXT} or not regexp_full_match(value, {_quoted(_PLAIN)}) then false
                when regexp_matches(translate(value, '_-.', ''), {_quoted(_MAY_BE_HARMFUL)}) then false
                when regexp_matches(value, {_quoted(_CREDENTIAL_VALUE)}) then false
                else len(list_distinct(json_keys(value))) = len(json_keys(value))
            end
        )
    select
        row,
        root,
        cast([] as bigint[]) as place,
        '' as path,
        case when json_type(value) = 'OBJECT' then value else json_object(root, cast(value as json)) end as value,
        $keep_content as is_allowed
    from open
"""
# json_keys and '$.*' return an object's members in the same order, each in one pass over the value
_MEMBERS = f"""
    with
        members as (
            select
                row,
                root,
                place,
                path,
                is_allowed,
                unnest(json_keys(value)) as key,
                unnest(json_extract(value, '$.*')) as value,
                unnest(range(len(json_keys(value)))) as number
            from batch
        ),
        spelled as (
            select
                key,
                lower(regexp_replace(key, '([a-z0-9])([A-Z])', '\\1_\\2', 'g')) as lower_key,
                trim(regexp_replace(lower_key, '[^a-z0-9]+', '_', 'g'), '_') as words
            from (select distinct key from members)
        ),
        keys as (
            select
                key,
                len(key) <= {LONGEST_TEXT} and regexp_full_match(key, {_quoted(_USUAL_KEY)}) as is_usual,
                regexp_matches(to_json(key), {_quoted(_CREDENTIAL_VALUE)}) as is_secret,
                (
                    regexp_matches(replace(words, '_', ''), '{_CONTENT}')
                    or regexp_matches(words, '(^|_)({_CONTENT_WORDS})(_|$)')
                )
                and not regexp_matches(words, '{_ABOUT_CONTENT}') as is_content,
                regexp_matches(words, '{_TOKEN_COUNT}') as is_count,
                regexp_matches(replace(words, '_', ''), '{_CREDENTIAL}')
                or contains(words, 'token') and not is_count as is_credential
            from spelled
        ),
        typed as (
            select
                members.*,
                keys.* exclude (key),
                case when is_usual and not is_secret then key else '(unusual key)' end as shown,
                lower(concat_ws('.', if(root = 'tags', 'tags', null), nullif(path, ''), key)) as lower_path,
                is_allowed or list_has_any($keep_keys, [lower(key), lower_path]) as is_wanted,
                json_type(value) as type,
                cast(value as varchar) as json,
                case when json_type(value) = 'VARCHAR' then value ->> '$' end as text
            from members
            inner join keys using (key)
        ),
        named as (
            select
                * exclude (path, is_allowed, value),
                concat_ws('.', nullif(path, ''), shown) as path,
                is_wanted and {_has_credential("json")} as has_credential,
                type = 'VARCHAR' and regexp_full_match(text, {_quoted(_NUMBER)}) as is_number
            from typed
        ),
        cleaned as (
            select
                *,
                case
                    when has_credential then {without_credentials("json", _CREDENTIAL_MEMBER, _TOKEN_MEMBER)}
                end as cleaned
            from named
        ),
        judged as (
            select
                *,
                case
                    when is_secret or not (is_usual or is_wanted) then 'unusual key'
                    when type in ('NULL', 'BOOLEAN') then null
                    when is_credential or is_count and type = 'VARCHAR' and not is_number then 'credential'
                end as fault,
                case
                    when json_valid(cleaned) and not regexp_matches(cleaned, {_quoted(_DEEP_CREDENTIAL)}) then cleaned
                end as clean,
                case
                    when type in ('NULL', 'BOOLEAN') then null
                    when type = 'DOUBLE' then if(isfinite(cast(json as double)), null, 'not a finite number')
                    when type not in ('VARCHAR', 'ARRAY', 'OBJECT') or is_number then null
                    when root = 'extra' and path in $containers then null
                    when is_content then 'content key'
                    when type = 'ARRAY' then 'array'
                    when type = 'OBJECT' then if(len(place) = {DEEPEST - 1}, 'nested too deeply', null)
                    when len(text) > {LONGEST_TEXT} then 'long text'
                    when regexp_matches(text, {_quoted(_LINE_BREAK)}) then 'several lines'
                    when regexp_matches(text, {_quoted(_JSON_IN_TEXT)}) then 'JSON in a text'
                    when regexp_matches(json, {_quoted(_CREDENTIAL_VALUE)}) then 'credential'
                end as harm
            from cleaned
        ),
        decided as (
            select
                *,
                fault is null
                and type = 'OBJECT'
                and case
                    when is_wanted then has_credential and clean is null and len(place) < {DEEPEST - 1}
                    else harm is null
                end as is_open,
                case when is_wanted then if(has_credential, 'credential', null) else harm end as loss
            from judged
        )
    select
        row,
        root,
        list_append(place, number) as place,
        path,
        is_wanted as is_allowed,
        case when is_open then null else coalesce(fault, loss) end as reason,
        case
            when is_open or fault is not null then null
            when is_wanted and has_credential then clean
            when is_wanted or harm is null then json
        end as kept,
        case when is_open then json end as value
    from decided
"""
_RANKED = """
    select *, row_number() over (partition by row, root, path order by place desc) = 1 as is_last from batch
"""
_JOINED = """
    select row, root, '{' || string_agg(to_json(path) || ':' || kept, ',' order by place) || '}' as value
    from batch
    group by row, root
    order by row
"""
_OMITTED = """
    select distinct row, case when root = 'tags' then 'tags.' || path else path end as key, reason from batch
"""


def keep_harmless(events: pa.Table, containers: Sequence[str], keep: Keep, run: Run) -> tuple[pa.Table, pa.Table]:
    """Returns `events` with the values of tags and extra that may be kept, as flat JSON objects, and OMITTED.

    A nested value is kept under its keys joined by dots. `containers` are the paths of objects that the format maps in
    part. `run` runs a query over columns as the table `batch`.
    """
    found = run(
        _ROOTS,
        {"keep_content": keep.content},
        row=pa.chunked_array([pa.arange(0, len(events))]),
        **{name: events[name] for name in COLUMNS},
    )
    if not len(found):
        return events, OMITTED.empty_table()
    opened = found.select(["row", "root"])
    params = {"keep_keys": [key.lower() for key in keep.keys], "containers": list(containers)}
    kept, lost = [], []
    while len(found):
        members = run(_MEMBERS, params, **_columns(found))
        lost.append(members.filter(pc.is_valid(members["reason"])).select(["row", "root", "path", "reason"]))
        kept.append(members.filter(pc.is_valid(members["kept"])).select(["row", "root", "place", "path", "kept"]))
        found = members.filter(pc.is_valid(members["value"])).drop_columns(["reason", "kept"])
    ranked = run(_RANKED, **_columns(pa.concat_tables(kept)))
    doubled = ranked.filter(pc.invert(ranked["is_last"])).select(["row", "root", "path"])
    lost.append(doubled.append_column("reason", pa.array(["duplicate key"] * len(doubled), pa.string())))
    joined = run(_JOINED, **_columns(ranked.filter(ranked["is_last"])))
    for root in COLUMNS:
        column = pc.if_else(_is_in(events, opened, root), pa.scalar(None, pa.string()), events[root].cast(pa.string()))
        values = joined.filter(pc.equal(joined["root"], root))["value"].combine_chunks()
        column = pc.replace_with_mask(column.combine_chunks(), _is_in(events, joined, root), values.cast(pa.string()))
        events = events.set_column(events.column_names.index(root), root, column)
    omitted = run(_OMITTED, **_columns(pa.concat_tables(lost)))
    line_ids = events["line_id"].take(omitted["row"])
    return events, omitted.set_column(0, "line_id", line_ids).cast(OMITTED)
