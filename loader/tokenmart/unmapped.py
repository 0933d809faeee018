"""Decides which unmapped values are kept: short harmless ones, but no content and no credentials."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tokenmart.credentials import CREDENTIAL_VALUE, Run, quoted, quotes_credential

COLUMNS = ("tags", "extra")
LONGEST_TEXT = 200  # characters, of a key too
DEEPEST = 8
REMEMBERED = 10_000
_NO_KEYS = ";"

OMITTED = pa.schema([("line_id", pa.int64()), ("key", pa.string()), ("reason", pa.string())])


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

# Most values are flat objects of short texts under harmless keys: a few passes over the text see it.
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
    signs = (_CREDENTIAL_MEMBER, _TOKEN_MEMBER, _DEEP_CREDENTIAL, CREDENTIAL_VALUE)
    return "(" + " or ".join(f"regexp_matches({json}, {quoted(regex)})" for regex in signs) + ")"


def _without_credentials(json: str) -> str:
    for regex in (_CREDENTIAL_MEMBER, _TOKEN_MEMBER):
        json = f"regexp_replace({json}, {quoted(regex)}, '\\1null', 'g')"
    return f"regexp_replace({json}, {quoted(CREDENTIAL_VALUE)}, '(credential)', 'g')"


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
            and regexp_full_match(key, {quoted(_USUAL_KEY)})
            and not regexp_matches(key, {quoted(_LOOK_ALIKE)})
            and not regexp_matches(bare_key, {quoted(_TWO_ALPHABETS)}) as is_usual,
            regexp_matches(to_json(key), {quoted(CREDENTIAL_VALUE)}) as is_secret,
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


# A shape names the keys, then those of texts: a,b,c;a,c. It is NULL if a value is not plain.
_ROOTS = f"""
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
            when $keep_content or strlen(value) > {LONGEST_TEXT} then null
            when not regexp_full_match(value, {quoted(_PLAIN)}) then null
            when not regexp_matches(value, {quoted(CREDENTIAL_VALUE + '|"' + _BASE64 + '"')})
            then array_to_string(json_keys(value), ',') || ';'
                || array_to_string(regexp_extract_all(value, '"([\\w.-]+)":"', 1), ',')
        end as shape
    from roots
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
        judged_keys as ({_judged_keys("shaped")})
    select shape
    from shaped
    inner join judged_keys using (key)
    group by shape
    having
        bool_and(is_usual and not is_secret and not is_credential)
        and not bool_or((names_content or is_count) and list_contains(text_keys, key))
        and count(distinct key) = count(*)
"""
_OPENED = f"""
    with
        open as (
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
        cast([] as bigint[]) as place,
        '' as path,
        case
            when starts_with(value, '{{') or json_type(value) = 'OBJECT' then value
            else json_object(root, cast(value as json))
        end as value,
        $keep_content as is_allowed,
        false as is_only_counts
    from open
"""

# The members of objects, and the steps by which they are judged.
# json_keys and '$.*' give an object's members in the same order, each in one pass: the cost is that of the value's size
_JUDGED_KEYS = _judged_keys("batch")
_MEMBERS = """
    select
        * exclude (value),
        unnest(json_keys(value)) as key,
        unnest(json_extract(value, '$.*')) as value,
        unnest(range(len(json_keys(value)))) as number
    from batch
"""


def _named(*, may_be_wanted: bool) -> str:
    # left out where nothing is wanted: these expressions take longer to prepare than the rest takes to run
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
            coalesce(regexp_full_match(text, {quoted(_NUMBER)}), false) as is_number,
            {has_credential} as has_credential
        from batch
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
            when is_kind and regexp_full_match(text, {quoted(_ONE_TOKEN)}) then null
            when is_credential or is_count and type = 'VARCHAR' and not is_number then 'credential'
        end as fault,
        case
            when json_valid(cleaned) and not regexp_matches(cleaned, {quoted(_DEEP_CREDENTIAL)}) then cleaned
        end as clean,
        case
            when type in ('NULL', 'BOOLEAN') then null
            when type = 'DOUBLE' then if(isfinite(cast(json as double)), null, 'not a finite number')
            when type not in ('VARCHAR', 'ARRAY', 'OBJECT') or is_number then null
            when root = 'extra' and path in $containers then null
            when is_only_counts then 'content key'
            when is_about_content and regexp_full_match(text, {quoted(_ONE_TOKEN)}) then null
            when names_content and not (has_counts and type = 'OBJECT') then 'content key'
            when type = 'ARRAY' then 'array'
            when type = 'OBJECT' then if(len(place) = {DEEPEST - 1}, 'nested too deeply', null)
            when len(text) > {LONGEST_TEXT} then 'long text'
            when regexp_matches(text, {quoted(_LINE_BREAK)}) then 'several lines'
            when regexp_matches(text, {quoted(_JSON_IN_TEXT)}) then 'JSON in a text'
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


def _judged(*, may_be_wanted: bool) -> str:
    return f"""
        with
            named as ({_named(may_be_wanted=may_be_wanted)}),
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
    """Decides which values of tags and extra are kept. `run` runs a query over columns as the table `batch`.

    The shapes of values repeat from batch to batch, so those that are harmless are remembered.
    """

    def __init__(self, keep: Keep, run: Run) -> None:
        self._keep = keep
        self._run = run
        self._judged = _judged(may_be_wanted=bool(keep.content or keep.keys))
        self._harmless: dict[str, bool] = {_NO_KEYS: True}
        self._keys: pa.Table | None = None

    def keep_harmless(self, events: pa.Table, containers: Sequence[str]) -> tuple[pa.Table, pa.Table]:
        """Returns `events` with the values of tags and extra that may be kept, as flat JSON objects, and OMITTED.

        A nested value is kept under its keys joined by dots. `containers` are the paths of objects that the format maps
        in part.
        """
        found = self._doubtful(events)
        if not len(found):
            return events, OMITTED.empty_table()
        opened = found.select(["row", "root"])
        params: dict[str, list[str]] = {"containers": list(containers)}
        if self._keep.content or self._keep.keys:
            params["keep_keys"] = [key.lower() for key in self._keep.keys]
        kept, lost = [], []
        while len(found):
            members = self._run(self._judged, params, **self._with_judged_keys(self._run(_MEMBERS, **_columns(found))))
            lost.append(members.filter(pc.is_valid(members["reason"])).select(["row", "root", "path", "reason"]))
            kept.append(members.filter(pc.is_valid(members["kept"])).select(["row", "root", "place", "path", "kept"]))
            found = members.filter(pc.is_valid(members["value"])).drop_columns(["reason", "kept"])
        ranked = self._run(_RANKED, **_columns(pa.concat_tables(kept)))
        doubled = ranked.filter(pc.invert(ranked["is_last"])).select(["row", "root", "path"])
        lost.append(doubled.append_column("reason", pa.array(["duplicate key"] * len(doubled), pa.string())))
        joined = self._run(_JOINED, **_columns(ranked.filter(ranked["is_last"])))
        for root in COLUMNS:
            is_open = _is_in(events, opened, root)
            column = pc.if_else(is_open, pa.scalar(None, pa.string()), events[root].cast(pa.string()))
            values = joined.filter(pc.equal(joined["root"], root))["value"].combine_chunks()
            column = pc.replace_with_mask(
                column.combine_chunks(), _is_in(events, joined, root), values.cast(pa.string())
            )
            events = events.set_column(events.column_names.index(root), root, column)
        omitted = self._run(_OMITTED, **_columns(pa.concat_tables(lost)))
        line_ids = events["line_id"].take(omitted["row"])
        return events, omitted.set_column(0, "line_id", line_ids).cast(OMITTED)

    def _doubtful(self, events: pa.Table) -> pa.Table:
        """The values that have to be looked at key by key, as the input of _MEMBERS."""
        if all(events[name].null_count == len(events) for name in COLUMNS):
            return events[:0]
        keep_content = {"keep_content": self._keep.content}
        rows = pa.chunked_array([pa.arange(0, len(events))])
        found = self._run(_ROOTS, keep_content, row=rows, **{name: events[name] for name in COLUMNS})
        found = found.filter(pc.invert(pc.is_in(found["shape"], self._harmless_of(found["shape"]))))
        return self._run(_OPENED, keep_content, **_columns(found.drop_columns("shape"))) if len(found) else found

    def _harmless_of(self, shapes: pa.ChunkedArray) -> pa.Array:
        """Which of these shapes have only harmless keys."""
        distinct = set(pc.unique(shapes.drop_null()).to_pylist())
        if len(self._harmless) > REMEMBERED:
            self._harmless = {_NO_KEYS: True}
        if new := distinct - self._harmless.keys():
            harmless = self._run(_HARMLESS_SHAPES, shape=pa.chunked_array([pa.array(list(new), pa.string())]))
            self._harmless |= dict.fromkeys(new, False) | dict.fromkeys(harmless["shape"].to_pylist(), True)
        return pa.array([shape for shape in distinct if self._harmless[shape]], pa.string())

    def _with_judged_keys(self, members: pa.Table) -> dict[str, pa.ChunkedArray]:
        """The columns of members, and what each one's key says of it."""
        keys = pc.unique(members["key"])
        if self._keys is None or len(self._keys) > REMEMBERED:
            self._keys = self._run(_JUDGED_KEYS, key=pa.chunked_array([keys]))
        elif len(new := keys.filter(pc.invert(pc.is_in(keys, self._keys["key"].combine_chunks())))):
            self._keys = pa.concat_tables([self._keys, self._run(_JUDGED_KEYS, key=pa.chunked_array([new]))])
        judged = self._keys.take(pc.index_in(members["key"], self._keys["key"].combine_chunks()))
        return _columns(members) | _columns(judged.drop_columns("key"))
