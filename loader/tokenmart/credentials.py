"""Finds texts that look like credentials, and replaces them with `(credential)`."""

from collections.abc import Callable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from tokenmart.prepared import literal

Run = Callable[..., pa.Table]
"""Runs a query. Its keyword arguments are the columns of the table `batch`."""

# The patterns match values in JSON, where quotes inside a text have a backslash. No match extends beyond the text.
CREDENTIAL_VALUE = "|".join(
    [
        r"(?i:bearer)\s+[\w.~+/=-]{4,}",
        r"(?i:basic)\s+(?:[\w+/]{16,}=*|[A-Za-z0-9+/]{6,}=|(?:[A-Za-z0-9+/]*[a-z0-9][A-Z]){2}[A-Za-z0-9+/]*)",
        r"""(?i:digest)\s+\w+=(?:[^"\\]|\\+["])*?response=(?:[^\s,"\\]|\\+["])*""",
        # \b does not match after an escaped line break, whose n is a letter
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
_CREDENTIAL_IN_TEXT = CREDENTIAL_VALUE.replace(r'\\+["]', r'\\*["]')


def contains_credential(text: str) -> str:
    """SQL that is true if the SQL expression `text` contains something that looks like a credential."""
    return f"regexp_matches({text}, {literal(_CREDENTIAL_IN_TEXT)})"


# names such as portal-sk-frontend or hf_inference_api are not credentials
_SLUG = r"(?:[a-z]+[0-9]{0,2}|[0-9]{1,4})(?:[._/-](?:[a-z]+[0-9]{0,2}|[0-9]{1,4}))*"
_HAS_CREDENTIAL = f"{contains_credential('text')} and not regexp_full_match(text, '{_SLUG}')"
_TEXTS_WITH_CREDENTIALS = f"select text from batch where {_HAS_CREDENTIAL}"
_REPLACED = f"regexp_replace(text, {literal(_CREDENTIAL_IN_TEXT)}, '(credential)', 'g')"
_WITHOUT_CREDENTIALS = f"select case when {_HAS_CREDENTIAL} then {_REPLACED} else text end as text from batch"


def without_credentials(table: pa.Table, names: Sequence[str], run: Run) -> tuple[pa.Table, dict[str, pa.Array]]:
    """Replaces everything that looks like a credential in these text columns with `(credential)`.

    Returns the new table and, for each changed column, a boolean array that is true for changed rows.
    """
    # most texts repeat, so each distinct text is checked once
    distinct = {name: pc.unique(table[name]) for name in names if table[name].null_count < len(table)}
    changed: dict[str, pa.Array] = {}
    if not distinct:
        return table, changed
    texts = run(_TEXTS_WITH_CREDENTIALS, text=pa.chunked_array(list(distinct.values()), pa.string()))[
        "text"
    ].combine_chunks()
    for name in distinct if len(texts) else ():
        if pc.any(pc.is_in(distinct[name], texts)).as_py():
            changed[name] = pc.is_in(table[name], texts)
            cleaned = run(_WITHOUT_CREDENTIALS, text=table[name])["text"]
            table = table.set_column(table.column_names.index(name), name, cleaned)
    return table, changed
