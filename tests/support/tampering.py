"""Attacks on the audit trail, and bad input to it: `make tampering` writes docs/reference/tampering.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.support.proofs import Catalogue

__all__ = ["TAMPERING"]

# As `vallum audit` reports it: the command, and the code of the problem or alarm.
_TAMPERING: Final[Mapping[str, str]] = {
    "event edited": "`verify`: altered, with its place",
    "event deleted": "`verify`, `gaps`: missing, with its place",
    "events reordered": "`verify`: reordered, with both places",
    "event filed where no search finds it": "`verify`: index, with its place",
    "erasable value changed": "`verify --values`: value; it is never shown",
    "event removed beneath PostgreSQL": "`verify`, `gaps`: missing, with its place",
    "log edited between commit and signature": "nothing is signed; alarm audit-log-forked",
    "state of the log changed": "nothing is signed; alarm audit-log-forked",
    "trigger disabled": "`coverage`: trigger-disabled; on again at once where DDL is watched",
    "trigger off and on again": "`coverage --rows`: row-differs, with the last event known",
    "replica role": "bypasses nothing",
    "function replaced": "`coverage`: function-changed, whatever the database says of it",
    "trigger on the inbox": "`coverage`: trigger-foreign",
    "search path of the writer": "changes nothing",
    "row removed beneath PostgreSQL": "`coverage --rows`: row-differs, with its last event",
    "inbox written to by hand": "what is no event becomes an alarm, event-malformed, and stops nothing",
    "event deleted before it is sequenced": "an alarm in the log itself; `gaps`: events-missing",
    "transaction deleted before it is sequenced": "`coverage --rows`: row-differs",
    "tail truncated, database consistent": "`verify` alone passes; `--against`: size-below-anchor",
    "history rewritten by who holds the key": "`verify --against`: forked; a witness refuses",
    "older backup restored": "nothing is signed; `gaps`, `verify`: size-below-anchor",
    "failover to a standby that lags": "as a backup; `succeed` declares the loss; another history gets none",
    "record of what was signed removed": "nothing is signed any more",
    "checkpoint overwritten in an object store": "refused by condition and lock; another one is told of",
    "clock set back": "nothing is signed until it is later; nothing is lost",
    "actor forged": "marked unverified and forged, the database's role is shown",
    "act of retention forged": "not believed: `verify`, `gaps`: missing",
    "succession forged": "not believed: `verify`, `gaps`: missing",
    "archive changed": "`check-archive`: altered, value, archive",
    "racing writers, savepoints, a long transaction": "0 missing, 0 doubled",
    "two sequencers": "one is refused; by a takeover the first is fenced off",
    "sequencer killed at each step": "goes on; never two roots for a size",
    "processes killed while events commit": "0 missing, 0 doubled",
    "disk full": "nothing is signed, nothing is lost, goes on; files are whole or not there",
    "subject erased": "old proofs hold, the value is gone, from archives too",
    "partition dropped": "later proofs hold; what goes beyond it is missed",
    "values that give orders": "to terminals, spreadsheets and collectors: shown, and harmless",
    "file planted where one is to be written": "is not written to, no link is followed",
    "table without a primary key": "rows are recorded whole; the plan says so",
    "columns renamed, dropped, added": "no write fails, no value is lost; `table-altered`",
    "partitioned and inherited tables": "recorded as their table",
    "values of every kind": "bytea, arrays, NaN, generated columns: exact, whatever the session is set to",
    "value of 100 MB": "by its length and digest",
    "table that others lock": "left as it was after a short wait",
    "key missing": "refused, and not made anew; events wait",
    "key readable by others": "refused, and said which; events wait",
    "witness or store that is down or refuses": "alarm audit-anchor; the log goes on, and asks again",
}

TAMPERING: Final = Catalogue(
    mark="tampering",
    title="Attacks on the audit trail: what is performed, what reports it, and by which test",
    intro=(
        "Made by `make tampering`, which runs every test that names one, on a real PostgreSQL and as its",
        "superuser. What the trail cannot see is in its [design](../design/audit.md).",
    ),
    head=("attack", "what reports it"),
    items=_TAMPERING,
)
