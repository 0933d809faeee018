"""Decides which unmapped values are kept: short harmless values, but no content and no credentials."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tokenmart.credentials import CREDENTIAL_VALUE, Run, contains_credential
from tokenmart.prepared import literal

COLUMNS = ("tags", "extra")
MAX_TEXT_LENGTH = 200  # characters of a value or a key
MAX_DEPTH = 8
REMEMBERED = 10_000
_NO_KEYS = ";"

OMITTED = pa.schema([("line_id", pa.int64()), ("key", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True)
class Keep:
    """What the user asks to keep: all content, or the values of some keys (names or dotted paths, case-insensitive)."""

    content: bool = False
    keys: tuple[str, ...] = ()


# Keys are compared without case, accents and separators: userPrompt, User-Prompt and USER_PROMPT are the same.
_CONTENT = (
    "answer|argument|attachment|caption|choice|clipboard|completion|content|conversation|description|dialog|document"
    "|embedding|excerpt|explanation|functioncall|instruction|markdown|messag|plaintext|preview|prompt|query|queries"
    "|question|rationale|reasoning|request|response|snapshot|snippet|speech|summary|thinking|thought|title|toolcall"
    "|toolinput|tooloutput|toolresult|transcript|userinput|utterance"
)
# only whole words of a key, because they are also part of other words (context, filesystem)
_CONTENT_WORDS = (
    "args|asks?|asked|body|chat|chunks?|commands?|comments?|delta|diffs?|feedback|generated|generations?|headers?"
    "|history|html|inputs?|kwargs|msgs?|notes?|outputs?|parameters|patch|patches|payload|q|raw|replies|reply|results?"
    "|said|search|searches|stderr|stdin|stdout|subject|system|texts?|todos?"
)
# Keys such as request_id, prompt_version and reasoning_effort describe content. A value without spaces is kept.
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
# auth_method and pass_rate are not credentials
_ABOUT_CREDENTIAL = (
    "(^|_)(auth|pass|pin|sas)_(at|count|duration|enabled|length|method|mode|ms|provider|rate|scheme|seconds|status|time"
    "|type)$"
)
_HARMLESS_KEYS = "cache|dedup|foreign|group|idempotency|issue|object|partition|project|public|routing|sort"
# token is a credential, but tokens is a count
_TOKEN_COUNT = "(^|_)(tokens|token_(budget|convention|cost|count|limit|price|rate|type|usage))(_|$)"
_TOKEN_KIND = "^token_(convention|type)$"
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_LINE_BREAK = r"[\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]"
_JSON_IN_TEXT = r"""[{\[]\s*(?:["'{\[\\}\]]|$)"""
# base64 of this length has capital letters; digests, paths and slugs rarely do
_BASE64 = "[A-Za-z0-9+/_-]{40,}={0,2}"
# keys can also be free text
_USUAL_KEY = r"[\pL\pN_.:/@#$+-]+(?: [\pL\pN_.:/@#$+-]+){0,2}"
# letters that look like others: full-width letters, mathematical letters, and two alphabets in one key
_LOOK_ALIKE = r"[\x{2100}-\x{214F}\x{2460}-\x{24FF}\x{FF01}-\x{FF5E}\x{1D400}-\x{1D7FF}]"
_TWO_ALPHABETS = r"[A-Za-z].*[^\x00-\x7f]|[^\x00-\x7f].*[A-Za-z]"

# Most values are flat objects with short texts and harmless keys. A few regular expressions recognize them.
_PLAIN_TEXT = r'"[^"\\{}\[\]\x00-\x1f\x7f\x{85}\x{2028}\x{2029}]*"'
_PLAIN_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
_PLAIN_MEMBER = rf'"[\w.-]+":(?:{_PLAIN_NUMBER}|true|false|null|{_PLAIN_TEXT})'
_PLAIN = rf"\{{(?:{_PLAIN_MEMBER}(?:,{_PLAIN_MEMBER})*)?\}}"


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _is_in(events: pa.Table, rows: pa.Table, root: str) -> pa.Array:
    """For each event, whether the column `root` (tags or extra) is among these rows."""
    wanted = rows.filter(pc.equal(rows["root"], root))["row"]
    return pc.is_in(pa.arange(0, len(events)), wanted)


def _whole_words(words: str) -> str:
    """A regular expression for JSON keys that contain one of these words as a whole word."""
    capital = "|".join(word[0].upper() + word[1:] for word in words.split("|"))
    first = rf'(?:(?:[^"\\]*[^"\\A-Za-z0-9])?(?i:{words})|[^"\\]*[a-z0-9](?:{capital}))'
    return rf'{first}(?:[^"\\a-z][^"\\]*)?'


_RAW_CREDENTIAL = _CREDENTIAL.replace("_?", "[_. -]?")
_RAW_SECRET = r'secrets?(?:[^"\\as][^"\\]*|a[^"\\r][^"\\]*)?'
_RAW_KEY = (
    rf'(?:[^"\\]*(?i:(?:{_RAW_CREDENTIAL}|[a-z0-9][_-]key)[^"\\]*|{_RAW_SECRET})|{_whole_words(_CREDENTIAL_WORDS)})'
)
_RAW_TOKEN = r'[^"\\]*(?i:token(?:i[^z"\\][^"\\]*|[^i"\\][^"\\]*)?)'
_TEXT, _FLAT_ARRAY = r'"(?:[^"\\]|\\.)*"', r"\[[^\[\]{}]*\]"
_CREDENTIAL_MEMBER = rf'("{_RAW_KEY}":)(?:{_TEXT}|{_FLAT_ARRAY}|{_NUMBER})'
_TOKEN_MEMBER = rf'("{_RAW_TOKEN}":)(?:{_TEXT}|\[{_TEXT}[^\[\]{{}}]*\])'
_DEEP_CREDENTIAL = rf'"(?:{_RAW_KEY}|[^"\\]*(?i:token(?:[^s"\\][^"\\]*)?))":[{{\[]'


def _has_credential(json: str) -> str:
    """SQL that is true if the JSON text contains something that looks like a credential."""
    patterns = (_CREDENTIAL_MEMBER, _TOKEN_MEMBER, _DEEP_CREDENTIAL, CREDENTIAL_VALUE)
    return "(" + " or ".join(f"regexp_matches({json}, {literal(regex)})" for regex in patterns) + ")"


def _without_credentials(json: str) -> str:
    """SQL for the JSON text with credentials replaced: by null under their keys, and by `(credential)` inside texts."""
    for regex in (_CREDENTIAL_MEMBER, _TOKEN_MEMBER):
        json = f"regexp_replace({json}, {literal(regex)}, '\\1null', 'g')"
    return f"regexp_replace({json}, {literal(CREDENTIAL_VALUE)}, '(credential)', 'g')"


def _classified_keys(source: str) -> str:
    """SQL that classifies each key of the relation `source` by what its values may be, for example credentials."""
    return f"""
        with
            normalized as (
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
            len(key) <= {MAX_TEXT_LENGTH}
            and regexp_full_match(key, {literal(_USUAL_KEY)})
            and not regexp_matches(key, {literal(_LOOK_ALIKE)})
            and not regexp_matches(bare_key, {literal(_TWO_ALPHABETS)}) as is_usual,
            regexp_matches(to_json(key), {literal(CREDENTIAL_VALUE)}) as is_secret,
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
        from normalized
    """


# The shape of a value has all its keys, then the keys of texts: a,b,c;a,c. It is NULL unless the value matches _PLAIN.
_VALUES = f"""
    with
        roots as (
            select row, 'tags' as root, tags as value from batch where tags is not null
            union all
            select row, 'extra' as root, extra as value from batch where extra is not null
        )
    select
        row,
        root,
        value,
        case
            when $keep_content or strlen(value) > {MAX_TEXT_LENGTH} then null
            when not regexp_full_match(value, {literal(_PLAIN)}) then null
            when not regexp_matches(value, {literal(CREDENTIAL_VALUE + '|"' + _BASE64 + '"')})
            then array_to_string(json_keys(value), ',') || ';'
                || array_to_string(regexp_extract_all(value, '"([\\w.-]+)":"', 1), ',')
        end as shape
    from roots
"""
_MEMBER_OF_NULL = r'"[\w.-]+":null'
_WITHOUT_NULLS = f"""
    select
        case
            when contains(value, ':null') and regexp_full_match(value, {literal(_PLAIN)})
            then
                nullif(
                    regexp_replace(
                        regexp_replace(value, ',{_MEMBER_OF_NULL}', '', 'g'), '^\\{{{_MEMBER_OF_NULL},?', '{{'
                    ),
                    '{{}}'
                )
            else value
        end as value
    from batch
"""
_HARMLESS_SHAPES = f"""
    with
        shaped as (
            select
                shape,
                unnest(string_split(split_part(shape, ';', 1), ',')) as key,
                string_split(split_part(shape, ';', 2), ',') as text_keys
            from batch
        ),
        classified_keys as ({_classified_keys("shaped")})
    select shape
    from shaped
    inner join classified_keys using (key)
    group by shape
    having
        bool_and(is_usual and not is_secret and not is_credential)
        and not bool_or((names_content or is_count) and list_contains(text_keys, key))
        and count(distinct key) = count(*)
"""
_EXPANDED = f"""
    with
        parsed as (
            select
                row,
                root,
                case
                    when not json_valid(value) then to_json(value)
                    when starts_with(value, '{{') then value
                    when json_type(value) = 'VARCHAR' and json_valid(value ->> '$') then value ->> '$'
                    else value
                end as value
            from batch
            where not $keep_content or {_has_credential("value")}
        )
    select
        row,
        root,
        cast([] as bigint[]) as position,
        '' as path,
        case
            when starts_with(value, '{{') or json_type(value) = 'OBJECT' then value
            else json_object(root, cast(value as json))
        end as value,
        $keep_content as is_allowed,
        false as is_only_counts
    from parsed
"""

# The members of objects, and the steps that decide about them. json_keys and '$.*' return the members of an object in
# the same order. Each reads the object once, so the cost is proportional to its size.
_CLASSIFIED_KEYS = _classified_keys("batch")
_MEMBERS = """
    select *
    from (
        select
            * exclude (value),
            unnest(json_keys(value)) as key,
            unnest(json_extract(value, '$.*')) as value,
            unnest(range(len(json_keys(value)))) as number
        from batch
    )
    where cast(value as varchar) <> 'null'
"""


def _with_names(*, may_be_wanted: bool) -> str:
    # without these expressions if the user asks for nothing: preparing them takes longer than running the rest
    is_wanted = "is_allowed or list_has_any($keep_keys, [lower(key), lower_path])" if may_be_wanted else "false"
    has_credential = f"case when is_wanted then {_has_credential('json')} else false end" if may_be_wanted else "false"
    return f"""
        select
            * exclude (path, is_allowed, value),
            concat_ws('.', nullif(path, ''), if(is_usual and not is_secret, key, '(unusual key)')) as path,
            lower(concat_ws('.', if(root = 'tags', 'tags', null), nullif(batch.path, ''), key)) as lower_path,
            {is_wanted} as is_wanted,
            json_type(value) as type,
            cast(value as varchar) as json,
            case when json_type(value) = 'VARCHAR' then value ->> '$' end as text,
            coalesce(regexp_full_match(text, {literal(_NUMBER)}), false) as is_number,
            {has_credential} as has_credential
        from batch
    """


_CLEANED = f"""
    select *, case when has_credential then {_without_credentials("json")} end as cleaned from with_names
"""
# forbidden_reason applies even if the user asks for the value, default_reason only if not.
_JUDGED = f"""
    select
        *,
        case
            when is_secret or not (is_usual or is_wanted) then 'unusual key'
            when type in ('NULL', 'BOOLEAN') then null
            when is_kind and regexp_full_match(text, {literal(_ONE_TOKEN)}) then null
            when is_credential or is_count and type = 'VARCHAR' and not is_number then 'credential'
        end as forbidden_reason,
        case
            when json_valid(cleaned) and not regexp_matches(cleaned, {literal(_DEEP_CREDENTIAL)}) then cleaned
        end as clean,
        case
            when type in ('NULL', 'BOOLEAN') then null
            when type = 'DOUBLE' then if(isfinite(cast(json as double)), null, 'not a finite number')
            when type not in ('VARCHAR', 'ARRAY', 'OBJECT') or is_number then null
            when root = 'extra' and path in $containers then null
            when is_only_counts then 'content key'
            when is_about_content and regexp_full_match(text, {literal(_ONE_TOKEN)}) then null
            when names_content and not (has_counts and type = 'OBJECT') then 'content key'
            when type = 'ARRAY' then 'array'
            when type = 'OBJECT' then if(len(position) = {MAX_DEPTH - 1}, 'nested too deeply', null)
            when len(text) > {MAX_TEXT_LENGTH} then 'long text'
            when regexp_matches(text, {literal(_LINE_BREAK)}) then 'several lines'
            when regexp_matches(text, {literal(_JSON_IN_TEXT)}) then 'JSON in a text'
            when regexp_matches(text, '^\\s*[{{\\[]') and json_valid(text) then 'JSON in a text'
        end as value_reason,
        case
            when value_reason is not null then value_reason
            when type <> 'VARCHAR' then null
            when {contains_credential("text")} then 'credential'
            when regexp_full_match(text, '{_BASE64}') and regexp_matches(text, '[A-Z]') then 'base64'
        end as default_reason
    from cleaned
"""
_DECIDED = f"""
    select
        *,
        forbidden_reason is null
        and type = 'OBJECT'
        and case
            when is_wanted then has_credential and clean is null and len(position) < {MAX_DEPTH - 1}
            else default_reason is null
        end as is_expanded,
        case when is_wanted then if(has_credential, 'credential', null) else default_reason end as applied_reason
    from judged
"""


def _judged(*, may_be_wanted: bool) -> str:
    return f"""
        with
            with_names as ({_with_names(may_be_wanted=may_be_wanted)}),
            cleaned as ({_CLEANED}),
            judged as ({_JUDGED}),
            decided as ({_DECIDED})
        select
            row,
            root,
            list_append(position, number) as position,
            path,
            is_wanted as is_allowed,
            has_counts or is_only_counts as is_only_counts,
            case when is_expanded then null else coalesce(forbidden_reason, applied_reason) end as reason,
            case
                when is_expanded or forbidden_reason is not null then null
                when is_wanted and has_credential then clean
                when is_wanted or default_reason is null then json
            end as kept,
            case when is_expanded then json end as value
        from decided
    """


_RANKED = """
    select *, row_number() over (partition by row, root, path order by position desc) = 1 as is_last from batch
"""
_JOINED = """
    select
        row,
        root,
        '{' || array_to_string(list_sort(list(to_json(path) || ':' || kept)), ',') || '}' as value
    from batch
    group by row, root
    order by row
"""
_OMITTED = """
    select distinct row, case when root = 'tags' then 'tags.' || path else path end as key, reason from batch
"""


class Unmapped:
    """Decides which values of tags and extra are kept. `run` runs a query on the table `batch`.

    The shapes of values repeat from batch to batch, so their results are cached, and so are those of keys.
    """

    def __init__(self, keep: Keep, run: Run) -> None:
        self._keep = keep
        self._run = run
        self._judged = _judged(may_be_wanted=bool(keep.content or keep.keys))
        self._harmless: dict[str, bool] = {_NO_KEYS: True}
        self._keys: pa.Table | None = None

    def keep_harmless(self, events: pa.Table, containers: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """Reduces tags and extra to the values that may be kept, as flat JSON objects.

        A nested value is kept under its keys, joined with dots. `containers` are the dotted paths of objects of which
        the format maps a part. Returns the events, and the values that were left out (OMITTED).
        """
        for root in COLUMNS:
            if pc.any(pc.match_substring(events[root], ":null")).as_py():
                values = self._run(_WITHOUT_NULLS, value=events[root])["value"]
                events = events.set_column(events.column_names.index(root), root, values)
        values = self._values_to_check(events)
        if not len(values):
            return events, OMITTED.empty_table()
        kept, omitted = self._decide(values, containers)
        joined = self._run(_JOINED, **_columns(kept))
        for root in COLUMNS:
            is_checked = _is_in(events, values, root)
            column = pc.if_else(is_checked, pa.scalar(None, pa.string()), events[root].cast(pa.string()))
            texts = joined.filter(pc.equal(joined["root"], root))["value"].combine_chunks()
            column = pc.replace_with_mask(
                column.combine_chunks(), _is_in(events, joined, root), texts.cast(pa.string())
            )
            events = events.set_column(events.column_names.index(root), root, column)
        line_ids = events["line_id"].take(omitted["row"])
        return events, omitted.set_column(0, "line_id", line_ids).cast(OMITTED)

    def _decide(self, values: pa.Table, containers: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """The members of the values to keep, and those to omit, as row, key and reason.

        Each pass decides about the members of one level; the next pass gets the objects that they contain.
        """
        params: dict[str, list[str]] = {"containers": list(containers)}
        if self._keep.content or self._keep.keys:
            params["keep_keys"] = [key.lower() for key in self._keep.keys]
        kept, omitted = [], []
        while len(values):
            members = self._run(
                self._judged, params, **self._with_classified_keys(self._run(_MEMBERS, **_columns(values)))
            )
            omitted.append(members.filter(pc.is_valid(members["reason"])).select(["row", "root", "path", "reason"]))
            kept.append(
                members.filter(pc.is_valid(members["kept"])).select(["row", "root", "position", "path", "kept"])
            )
            values = members.filter(pc.is_valid(members["value"])).drop_columns(["reason", "kept"])
        # of members with the same path, such as {"a.b": 1, "a": {"b": 2}}, only the last is kept
        ranked = self._run(_RANKED, **_columns(pa.concat_tables(kept)))
        duplicates = ranked.filter(pc.invert(ranked["is_last"])).select(["row", "root", "path"])
        reasons = pa.array(["duplicate key"] * len(duplicates), pa.string())
        omitted.append(duplicates.append_column("reason", reasons))
        return ranked.filter(ranked["is_last"]), self._run(_OMITTED, **_columns(pa.concat_tables(omitted)))

    def _values_to_check(self, events: pa.Table) -> pa.Table:
        """The values whose members must be checked one by one, as the input of _MEMBERS."""
        if all(events[name].null_count == len(events) for name in COLUMNS):
            return events[:0]
        keep_content = {"keep_content": self._keep.content}
        rows = pa.chunked_array([pa.arange(0, len(events))])
        found = self._run(_VALUES, keep_content, row=rows, **{name: events[name] for name in COLUMNS})
        found = found.filter(pc.invert(pc.is_in(found["shape"], self._harmless_shapes(found["shape"]))))
        return self._run(_EXPANDED, keep_content, **_columns(found.drop_columns("shape"))) if len(found) else found

    def _harmless_shapes(self, shapes: pa.ChunkedArray) -> pa.Array:
        """The shapes, of these, that have only harmless keys."""
        distinct = set(pc.unique(shapes.drop_null()).to_pylist())
        if len(self._harmless) > REMEMBERED:
            self._harmless = {_NO_KEYS: True}
        if new := distinct - self._harmless.keys():
            harmless = self._run(_HARMLESS_SHAPES, shape=pa.chunked_array([pa.array(list(new), pa.string())]))
            self._harmless |= dict.fromkeys(new, False) | dict.fromkeys(harmless["shape"].to_pylist(), True)
        return pa.array([shape for shape in distinct if self._harmless[shape]], pa.string())

    def _with_classified_keys(self, members: pa.Table) -> dict[str, pa.ChunkedArray]:
        """The columns of members, with those of _CLASSIFIED_KEYS for the key of each member."""
        keys = pc.unique(members["key"])
        if self._keys is None or len(self._keys) > REMEMBERED:
            self._keys = self._run(_CLASSIFIED_KEYS, key=pa.chunked_array([keys]))
        elif len(new := keys.filter(pc.invert(pc.is_in(keys, self._keys["key"].combine_chunks())))):
            self._keys = pa.concat_tables([self._keys, self._run(_CLASSIFIED_KEYS, key=pa.chunked_array([new]))])
        judged = self._keys.take(pc.index_in(members["key"], self._keys["key"].combine_chunks()))
        return _columns(members) | _columns(judged.drop_columns("key"))
