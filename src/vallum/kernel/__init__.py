"""What every other package may use: errors, operations, settings, clock, progress."""

from vallum.kernel.clock import Clock, FixedClock, SystemClock, today
from vallum.kernel.covering import covered
from vallum.kernel.errors import *  # noqa: F403
from vallum.kernel.errors import __all__ as _errors
from vallum.kernel.operation import Operation
from vallum.kernel.progress import NO_PROGRESS, NoProgress, Progress
from vallum.kernel.secret import check_secret_name, read_secret
from vallum.kernel.settings import PROTOCOLS, Settings, settings_reference, tell_children
from vallum.kernel.shown import few, shown

__all__ = [
    *_errors,
    "NO_PROGRESS",
    "PROTOCOLS",
    "Clock",
    "FixedClock",
    "NoProgress",
    "Operation",
    "Progress",
    "Settings",
    "SystemClock",
    "check_secret_name",
    "covered",
    "read_secret",
    "settings_reference",
    "few",
    "shown",
    "tell_children",
    "today",
]
