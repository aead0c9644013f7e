"""Who may do what and why: explain, who-can, snapshots and what differs between them."""

from vallum.analysis.changes import (
    AccessChange,
    FieldChange,
    MenuChange,
    RecordChange,
    SnapshotDiff,
    UserChange,
)
from vallum.analysis.diff import diff_snapshots
from vallum.analysis.draft import Change, Draft, compare, with_group, with_right, with_rule, without
from vallum.analysis.explain import explain
from vallum.analysis.explanation import (
    Actual,
    Explanation,
    FieldReason,
    LeafReason,
    RuleReason,
    ScopeReason,
)
from vallum.analysis.holder import Holder, RulePass
from vallum.analysis.inexact import inexact_models
from vallum.analysis.matrix import DECIDING_MODELS, Cell, cell, count_cells, may_escalate, readable_models
from vallum.analysis.paths import Grant, GroupPath, Membership, memberships
from vallum.analysis.snapshot import Snapshot, read_snapshot, take_snapshot, write_snapshot
from vallum.analysis.who_can import who_can

__all__ = [
    "DECIDING_MODELS",
    "AccessChange",
    "Actual",
    "Cell",
    "Change",
    "Draft",
    "Explanation",
    "FieldChange",
    "FieldReason",
    "Grant",
    "GroupPath",
    "Holder",
    "LeafReason",
    "Membership",
    "MenuChange",
    "RecordChange",
    "RulePass",
    "RuleReason",
    "ScopeReason",
    "Snapshot",
    "SnapshotDiff",
    "UserChange",
    "cell",
    "compare",
    "count_cells",
    "diff_snapshots",
    "explain",
    "inexact_models",
    "may_escalate",
    "memberships",
    "read_snapshot",
    "readable_models",
    "take_snapshot",
    "who_can",
    "with_group",
    "with_right",
    "with_rule",
    "without",
    "write_snapshot",
]
