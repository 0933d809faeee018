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


# A key is compared without case, accents and separators: userPrompt, User-Prompt and USER_PROMPT are one.
_CONTENT = (
    "answer|argument|attachment|caption|choice|clipboard|completion|content|conversation|description|dialog|document"
    "|embedding|excerpt|explanation|functioncall|instruction|markdown|messag|plaintext|preview|prompt|query|queries"
    "|question|rationale|reasoning|request|response|snapshot|snippet|speech|summary|thinking|thought|title|toolcall"
    "|toolinput|tooloutput|toolresult|transcript|userinput|utterance"
)
# these are part of other words too (context, filesystem), so they count as whole words of a key only
_CONTENT_WORDS = (
    "args|asks?|asked|body|chat|chunks?|commands?|comments?|delta|diffs?|feedback|generated|generations?|headers?"
    "|history|html|inputs?|kwargs|msgs?|notes?|outputs?|parameters|patch|patches|payload|q|raw|replies|reply|results?"
    "|said|search|searches|stderr|stdin|stdout|subject|system|texts?|todos?"
)
# Under request_id, prompt_version and reasoning_effort, one token without spaces is about the content.
_ABOUT_CONTENT = (
    "(^|_)tokens(_|$)|_(at|bytes|code|cost|count|date|duration|effort|encoding|fingerprint|format|hash|ids?|index|kind"
    "|lang|language|latency|length|level|locale|mode|model|ms|name|price|rate|region|role|seconds|size|source|state"
    "|status|tier|time|timestamp|types?|uuid|version)$"
)
_ONE_TOKEN = r"[\w.:/@-]{1,64}"
_CREDENTIAL = (
    "access_?key|account_?key|api_?key|auth_?header|auth_?key|authoriz|bearer|client_?key|connection_?string|cookie"
    "|credential|csrf|encryption_?key|hmac|jwt|pass_?phrase|passwd|password|private_?key|pwd|session_?key|sess_?id"
    "|shared_?key|signature|signed_?url|signing_?key|ssh_?key|subscription_?key|xsrf"
)
_SECRET = "secret(?:[^a]|a[^r]|a?$)"  # not secretary
_CREDENTIAL_WORDS = "auth|creds?|otp|totp|pass|pin|sas|sessionid|sid"
# auth_method and pass_rate are no credentials
_ABOUT_CREDENTIAL = (
    "(^|_)(auth|pass|pin|sas)_(at|count|duration|enabled|length|method|mode|ms|provider|rate|scheme|seconds|status|time"
    "|type)$"
)
_HARMLESS_KEYS = "cache|dedup|foreign|group|idempotency|issue|object|partition|project|public|routing|sort"
# a token is a credential, tokens are counted
_TOKEN_COUNT = "(^|_)(tokens|token_(budget|convention|cost|count|limit|price|rate|type|usage))(_|$)"
_TOKEN_KIND = "^token_(convention|type)$"
# In JSON, so that the quotes within a text have a backslash. None of them crosses the end of a text.
_CREDENTIAL_VALUE = "|".join(
    [
        r"(?i:bearer)\s+[\w.~+/=-]{4,}",
        r"(?i:basic)\s+(?:[\w+/]{16,}=*|[A-Za-z0-9+/]{6,}=|(?:[A-Za-z0-9+/]*[a-z0-9][A-Z]){2}[A-Za-z0-9+/]*)",
        r"""(?i:digest)\s+\w+=(?:[^"\\]|\\+["])*?response=(?:[^\s,"\\]|\\+["])*""",
        # the n of an escaped line break would be a part of the word
        r"(?:\b|\\[bfnrt])(?:"
        + "|".join(
            [
                r"sk-[\w-]{6,}",
                r"[prs]k_(?:live|test)_\w{6,}",
                r"xox[a-z]-[\w-]{6,}",
                r"gh[a-z]_\w{10,}",
                r"github_pat_\w{10,}",
                r"glpat-[\w-]{10,}",
                r"hf_\w{10,}",
                r"gsk_[A-Za-z0-9]{10,}",
                r"xai-[A-Za-z0-9]{10,}",
                r"pplx-[A-Za-z0-9]{10,}",
                r"r8_[A-Za-z0-9]{10,}",
                r"nvapi-[\w-]{10,}",
                r"npm_[A-Za-z0-9]{16,}",
                r"SG\.[\w.-]{16,}",
                r"whsec_[\w+/]{10,}",
                r"dop_v1_\w{10,}",
                r"pypi-Ag[\w-]{10,}",
                r"A[KS]IA[A-Z0-9]{12,}",
                r"AIza[\w-]{20,}",
                r"(?:AQoDYXdz|FwoGZXIvYXdz|IQoJb3JpZ2lu)[\w+/=]*",
                r"ya29\.[\w-]{10,}",
                r"eyJ[\w-]{8,}\.[\w-]{4,}",
                r"(?i:sig|signature|pwd|pass)\s*=\s*[^\s\"'\\&]{2,}",
            ]
        )
        + ")",
        r"-----BEGIN [A-Z ]*PRIVATE KEY",
        r"://[^/\s:@\"]*:[^/\s@\"]+@",
        r"[?&](?i:[\w.-]*[_.-])?(?i:key)=[^\s\"'\\&]{4,}",
        r"hooks\.slack\.com/\w+/[\w/]+",
        r"""(?i:api[_-]?key|authorization|cookie|passw(?:or)?d|_pass|secret|token)(?:\\+["]|')?\s*[=:]\s*(?:\\+["]|')?[^\s"'\\]{4,}""",
    ]
)
_CREDENTIAL_IN_TEXT = _CREDENTIAL_VALUE.replace(r'\\+["]', r'\\*["]')
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_LINE_BREAK = r"[\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]"
_JSON_IN_TEXT = r"""[{\[]\s*(?:["'{\[\\}\]]|$)"""
# digests, paths and slugs seldom have capital letters, base64 always has
_BASE64 = "[A-Za-z0-9+/_-]{40,}={0,2}"
# keys may be free text too
_USUAL_KEY = r"[\pL\pN_.:/@#$+-]+(?: [\pL\pN_.:/@#$+-]+){0,2}"
# letters that look like others: full-width ones, those of formulas, and words of two alphabets
_LOOK_ALIKE = r"[\x{2100}-\x{214F}\x{2460}-\x{24FF}\x{FF01}-\x{FF5E}\x{1D400}-\x{1D7FF}]"
_TWO_ALPHABETS = r"[A-Za-z].*[^\x00-\x7f]|[^\x00-\x7f].*[A-Za-z]"

# Most values are flat objects of short texts under harmless keys: two passes over the text see it.
_PLAIN_TEXT = r'"[^"\\{}\[\]\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]*"'
_PLAIN_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
_PLAIN_MEMBER = rf'"[\w.-]+":(?:{_PLAIN_NUMBER}|true|false|null|{_PLAIN_TEXT})'
_PLAIN = rf"\{{(?:{_PLAIN_MEMBER}(?:,{_PLAIN_MEMBER})*)?\}}"


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _is_in(events: pa.Table, rows: pa.Table, root: str) -> pa.Array:
    """Which events are among these rows of one column."""
    wanted = rows.filter(pc.equal(rows["root"], root))["row"]
    return pc.is_in(pa.arange(0, len(events)), wanted)


def _quoted(regex: str) -> str:
    return "'" + regex.replace("'", "''") + "'"


def _words(words: str) -> str:
    """A regular expression for some of these as whole words of a key in JSON."""
    capital = "|".join(word[0].upper() + word[1:] for word in words.split("|"))
    first = rf'(?:(?:[^"\\]*[^"\\A-Za-z0-9])?(?i:{words})|[^"\\]*[a-z0-9](?:{capital}))'
    return rf'{first}(?:[^"\\a-z][^"\\]*)?'


_RAW_CREDENTIAL = _CREDENTIAL.replace("_?", "[_. -]?")
_RAW_SECRET = r'secrets?(?:[^"\\as][^"\\]*|a[^"\\r][^"\\]*)?'
_RAW_KEY = rf'(?:[^"\\]*(?i:(?:{_RAW_CREDENTIAL}|[a-z0-9][_-]key)[^"\\]*|{_RAW_SECRET})|{_words(_CREDENTIAL_WORDS)})'
_RAW_TOKEN = r'[^"\\]*(?i:token(?:i[^z"\\][^"\\]*|[^i"\\][^"\\]*)?)'
_TEXT, _FLAT_ARRAY = r'"(?:[^"\\]|\\.)*"', r"\[[^\[\]{}]*\]"
_CREDENTIAL_MEMBER = rf'("{_RAW_KEY}":)(?:{_TEXT}|{_FLAT_ARRAY}|{_NUMBER})'
_TOKEN_MEMBER = rf'("{_RAW_TOKEN}":)(?:{_TEXT}|\[{_TEXT}[^\[\]{{}}]*\])'
_DEEP_CREDENTIAL = rf'"(?:{_RAW_KEY}|[^"\\]*(?i:token(?:[^s"\\][^"\\]*)?))":[{{\[]'


def _has_credential(json: str) -> str:
    signs = (_CREDENTIAL_MEMBER, _TOKEN_MEMBER, _DEEP_CREDENTIAL, _CREDENTIAL_VALUE)
    return "(" + " or ".join(f"regexp_matches({json}, {_quoted(regex)})" for regex in signs) + ")"


def _without_credentials(json: str) -> str:
    for regex in (_CREDENTIAL_MEMBER, _TOKEN_MEMBER):
        json = f"regexp_replace({json}, {_quoted(regex)}, '\\1null', 'g')"
    return f"regexp_replace({json}, {_quoted(_CREDENTIAL_VALUE)}, '(credential)', 'g')"


def quotes_credential(text: str) -> str:
    """SQL for whether a text has something that looks like a credential."""
    return f"regexp_matches({text}, {_quoted(_CREDENTIAL_IN_TEXT)})"


def without_credentials(text: str) -> str:
    """SQL for a text with `(credential)` in place of what looks like one."""
    return f"regexp_replace({text}, {_quoted(_CREDENTIAL_IN_TEXT)}, '(credential)', 'g')"


def _judged_keys(source: str) -> str:
    """SQL for what each key of the relation `source` says of its values."""
    return f"""
        with
            spelled as (
                select
                    key,
                    strip_accents(key) as bare_key,
                    lower(regexp_replace(bare_key, '([a-z0-9])([A-Z])', '\\1_\\2', 'g')) as lower_key,
                    trim(regexp_replace(lower_key, '[^a-z0-9]+', '_', 'g'), '_') as words,
                    replace(words, '_', '') as joined
                from (select distinct key from {source})
            )
        select
            key,
            len(key) <= {LONGEST_TEXT}
            and regexp_full_match(key, {_quoted(_USUAL_KEY)})
            and not regexp_matches(key, {_quoted(_LOOK_ALIKE)})
            and not regexp_matches(bare_key, {_quoted(_TWO_ALPHABETS)}) as is_usual,
            regexp_matches(to_json(key), {_quoted(_CREDENTIAL_VALUE)}) as is_secret,
            regexp_matches(joined, '{_CONTENT}')
            or regexp_matches(words, '(^|_)({_CONTENT_WORDS})(_|$)') as names_content,
            names_content and regexp_matches(words, '{_ABOUT_CONTENT}') as is_about_content,
            is_about_content and regexp_matches(words, '(^|_)tokens(_|$)') as has_counts,
            regexp_matches(words, '{_TOKEN_COUNT}') as is_count,
            regexp_matches(words, '{_TOKEN_KIND}') as is_kind,
            regexp_matches(joined, '{_CREDENTIAL}|{_SECRET}')
            or regexp_matches(words, '(^|_)({_CREDENTIAL_WORDS})(_|$)')
            and not regexp_matches(words, '{_ABOUT_CREDENTIAL}')
            or regexp_matches(words, '[a-z0-9]_keys?$')
            and not regexp_matches(words, '(^|_)({_HARMLESS_KEYS})_keys?$')
            or contains(replace(joined, 'tokeniz', ''), 'token')
            and not is_count as is_credential
        from spelled
    """


_ROOTS = f"""
    with
        roots as (
            select row, 'tags' as root, tags as value from batch where tags is not null
            union all
            select row, 'extra' as root, extra as value from batch where extra is not null
        ),
        plain as (
            select
                *,
                case
                    when $keep_content or strlen(value) > {LONGEST_TEXT} then null
                    when not regexp_full_match(value, {_quoted(_PLAIN)}) then null
                    when not regexp_matches(value, {_quoted(_CREDENTIAL_VALUE + '|"' + _BASE64 + '"')})
                    then json_keys(value)
                end as keys,
                if(keys is null, null, regexp_extract_all(value, '"([\\w.-]+)":"', 1)) as text_keys
            from roots
        ),
        plain_keys as (select *, unnest(keys) as key from (select distinct keys, text_keys from plain)),
        judged_keys as ({_judged_keys("plain_keys")}),
        harmless as (
            select keys, text_keys, true as is_harmless
            from plain_keys
            inner join judged_keys using (key)
            group by keys, text_keys
            having
                bool_and(is_usual and not is_secret and not is_credential)
                and not bool_or((names_content or is_count) and list_contains(text_keys, key))
                and count(distinct key) = len(keys)
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
            from plain
            left join harmless using (keys, text_keys)
            where not case
                when $keep_content then not {_has_credential("value")}
                else coalesce(is_harmless or len(keys) = 0, false)
            end
        )
    select
        row,
        root,
        cast([] as bigint[]) as place,
        '' as path,
        case when json_type(value) = 'OBJECT' then value else json_object(root, cast(value as json)) end as value,
        $keep_content as is_allowed,
        false as is_only_counts
    from open
"""

# The steps of _MEMBERS, each a select from the one before it.
# json_keys and '$.*' give an object's members in the same order, each in one pass: the cost is that of the value's size
_UNNESTED = """
    select
        * exclude (value),
        unnest(json_keys(value)) as key,
        unnest(json_extract(value, '$.*')) as value,
        unnest(range(len(json_keys(value)))) as number
    from batch
"""
_NAMED = f"""
    select
        members.* exclude (path, is_allowed, value),
        judged_keys.* exclude (key),
        concat_ws('.', nullif(path, ''), if(is_usual and not is_secret, key, '(unusual key)')) as path,
        lower(concat_ws('.', if(root = 'tags', 'tags', null), nullif(members.path, ''), key)) as lower_path,
        is_allowed or list_has_any($keep_keys, [lower(key), lower_path]) as is_wanted,
        json_type(value) as type,
        cast(value as varchar) as json,
        case when json_type(value) = 'VARCHAR' then value ->> '$' end as text,
        coalesce(regexp_full_match(text, {_quoted(_NUMBER)}), false) as is_number,
        is_wanted and {_has_credential("json")} as has_credential
    from members
    inner join judged_keys using (key)
"""
_CLEANED = f"""
    select *, case when has_credential then {_without_credentials("json")} end as cleaned from named
"""
_JUDGED = f"""
    select
        *,
        case
            when is_secret or not (is_usual or is_wanted) then 'unusual key'
            when type in ('NULL', 'BOOLEAN') then null
            when is_kind and regexp_full_match(text, {_quoted(_ONE_TOKEN)}) then null
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
            when is_only_counts then 'content key'
            when is_about_content and regexp_full_match(text, {_quoted(_ONE_TOKEN)}) then null
            when names_content and not (has_counts and type = 'OBJECT') then 'content key'
            when type = 'ARRAY' then 'array'
            when type = 'OBJECT' then if(len(place) = {DEEPEST - 1}, 'nested too deeply', null)
            when len(text) > {LONGEST_TEXT} then 'long text'
            when regexp_matches(text, {_quoted(_LINE_BREAK)}) then 'several lines'
            when regexp_matches(text, {_quoted(_JSON_IN_TEXT)}) then 'JSON in a text'
            when regexp_matches(text, '^\\s*[{{\\[]') and json_valid(text) then 'JSON in a text'
        end as harm_of_value,
        case
            when harm_of_value is not null then harm_of_value
            when type <> 'VARCHAR' then null
            when {quotes_credential("text")} then 'credential'
            when regexp_full_match(text, '{_BASE64}') and regexp_matches(text, '[A-Z]') then 'base64'
        end as harm
    from cleaned
"""
_DECIDED = f"""
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
"""
_MEMBERS = f"""
    with
        members as ({_UNNESTED}),
        judged_keys as ({_judged_keys("members")}),
        named as ({_NAMED}),
        cleaned as ({_CLEANED}),
        judged as ({_JUDGED}),
        decided as ({_DECIDED})
    select
        row,
        root,
        list_append(place, number) as place,
        path,
        is_wanted as is_allowed,
        has_counts or is_only_counts as is_only_counts,
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
