"""What a statement may say besides tables and columns: functions, operators, literal text.

Pure. Invariant: what is not listed is refused. A function by another name could read a table by its
name (`query_to_xml`, `dblink`, `pg_read_file`), and text could hold any SQL at all.
Source: PostgreSQL's own functions that see nothing but their arguments.
"""

from __future__ import annotations

import re
from typing import Final

from vallum.kernel import AccessDenied

__all__ = ["FUNCTIONS", "check_operator", "check_text", "refused_text"]

# Aggregates and windows; conditions and numbers; texts; times; arrays, JSON and sets.
_NAMES: Final = """
    count sum avg min max every bool_and bool_or bit_and bit_or array_agg string_agg aggregate_strings
    json_agg jsonb_agg json_object_agg jsonb_object_agg corr covar_pop covar_samp stddev stddev_pop
    stddev_samp variance var_pop var_samp mode percentile_cont percentile_disc any_value
    regr_slope regr_intercept regr_r2 regr_count
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    grouping cube rollup grouping_sets
    coalesce nullif greatest least num_nulls num_nonnulls
    abs ceil ceiling floor round trunc sign mod div power sqrt cbrt exp ln log log10 pi random
    degrees radians sin cos tan asin acos atan atan2 width_bucket gcd lcm factorial
    lower upper initcap length char_length character_length octet_length bit_length trim btrim ltrim rtrim
    lpad rpad left right substr substring position strpos replace translate reverse repeat split_part
    overlay concat concat_ws format md5 ascii chr starts_with to_char to_number to_hex quote_literal
    regexp_replace regexp_match regexp_matches regexp_split_to_array regexp_count regexp_like
    regexp_substr regexp_instr string_to_array unaccent similarity word_similarity
    encode decode sha224 sha256 sha384 sha512 char
    to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_rank ts_rank_cd
    ts_headline setweight
    now current_date current_time current_timestamp localtime localtimestamp transaction_timestamp
    statement_timestamp clock_timestamp date_trunc date_part extract age timezone to_date to_timestamp
    make_date make_time make_timestamp make_interval justify_days justify_hours justify_interval date_bin
    isfinite date time timestamp
    array array_length array_position array_positions array_append array_prepend array_cat array_remove
    array_to_string array_upper array_lower array_ndims cardinality unnest generate_series generate_subscripts
    to_json to_jsonb row_to_json array_to_json json_build_object jsonb_build_object json_build_array
    jsonb_build_array jsonb_set jsonb_insert jsonb_strip_nulls json_strip_nulls jsonb_pretty
    json_array_length jsonb_array_length json_array_elements jsonb_array_elements
    json_array_elements_text jsonb_array_elements_text json_each jsonb_each json_each_text jsonb_each_text
    json_object_keys jsonb_object_keys json_extract_path jsonb_extract_path json_extract_path_text
    jsonb_extract_path_text json_typeof jsonb_typeof jsonb_path_query jsonb_path_exists
    jsonb_path_query_array jsonb_path_query_first int4range int8range numrange tsrange tstzrange daterange
    lower_inc upper_inc isempty gen_random_uuid uuidv7
"""
FUNCTIONS: Final = frozenset(_NAMES.split())

_OPERATOR: Final = re.compile(r"(?:[-+*/<>=~!@#%^&|`?]+|[A-Za-z]+(?: [A-Za-z]+){0,3})")
_LITERAL: Final = re.compile(r"\*|-?\d{1,30}(?:\.\d{1,30})?|true|false|null", re.IGNORECASE)
_CLAUSE_WORDS: Final = """
    select from where union intersect except table with values in exists any all some group order having
    limit offset fetch for window join on using returning as case when then end lateral into
"""
_CLAUSES: Final = frozenset(_CLAUSE_WORDS.split())
_SHOWN: Final = 40


def check_operator(text: str) -> None:
    """Raises AccessDenied for what is no operator: symbols, or a few plain words.

    >>> check_operator("->>"); check_operator("AT TIME ZONE")
    """
    words = set(text.lower().split())
    if "--" in text or "/*" in text or not _OPERATOR.fullmatch(text.strip()) or words & _CLAUSES:
        raise refused_text(text)


def check_text(text: str) -> None:
    """Raises AccessDenied for literal text other than `*`, a number, true, false and null."""
    if not _LITERAL.fullmatch(text.strip()):
        raise refused_text(text)


def refused_text(text: str) -> AccessDenied:
    """The error for SQL text that cannot be read."""
    shown = text.strip()[:_SHOWN] + "…" * (len(text.strip()) > _SHOWN)
    return AccessDenied(
        f"SQL text in a guarded session: {shown!r}",
        fix="say it by tables and columns, or allow the whole statement by name: `guard(…, allow={…})`",
    )
