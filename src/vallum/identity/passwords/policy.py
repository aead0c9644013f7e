"""What a new password must be, and what is wrong with one.

Pure. Two named policies, and any mixture of them: whatever a setting says goes before the policy's name.
`nist`: length and the blocklist, nothing else. `guide`: twelve characters of four classes, 90 days, 12 kept.
Source: NIST SP 800-63B-4 3.1.1; OWASP ASVS 5.0 V6.2, which `guide` deviates from in 6.2.5 and 6.2.10.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from vallum.identity.settings import PasswordSettings

__all__ = ["COMMON_WORDS", "PasswordPolicy", "context_words", "judge"]

# Words that stand for the place rather than for a secret; settings add the company's own (ASVS 6.1.2).
COMMON_WORDS: Final = (
    "vallum",
    "odoo",
    "openerp",
    "password",
    "passwort",
    "motdepasse",
    "contraseña",
    "wachtwoord",
    "welcome",
    "willkommen",
    "bienvenue",
    "admin",
    "administrator",
    "login",
    "secret",
    "changeme",
    "qwerty",
    "azerty",
    "qwertz",
    "company",
)
_SHORTEST_WORD: Final = 4
_OF_ONES_OWN: Final = 8
_FEWEST_DIFFERENT: Final = 5
_YEAR: Final = re.compile(r"(?:19|20)\d\d")
_LEET: Final = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s"})
_CLASSES: Final = ("a lower-case letter", "an upper-case letter", "a digit", "a symbol")


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """The numbers that hold. None: without limit. `classes`: of how many kinds its characters must be."""

    min_length: int
    min_length_with_factor: int
    max_length: int
    classes: int
    history: int
    max_age: timedelta | None
    min_age: timedelta | None
    blocklist: bool

    @classmethod
    def of(cls, settings: PasswordSettings) -> PasswordPolicy:
        """The policy of that name, with what the settings change."""
        named = _NAMED[settings.policy]
        chosen = {
            key: getattr(settings, key) if getattr(settings, key) is not None else default
            for key, default in named.items()
        }
        return cls(
            min_length=chosen["min_length"],
            min_length_with_factor=min(chosen["min_length_with_factor"], chosen["min_length"]),
            max_length=settings.max_length,
            classes=chosen["classes"],
            history=chosen["history"],
            max_age=timedelta(days=chosen["max_days"]) if chosen["max_days"] else None,
            min_age=timedelta(hours=chosen["min_hours"]) if chosen["min_hours"] else None,
            blocklist=settings.blocklist,
        )

    def is_expired(self, set_at: datetime | None, now: datetime) -> bool:
        """Whether a password set then must be replaced."""
        return self.max_age is not None and set_at is not None and now >= set_at + self.max_age

    def is_too_young(self, set_at: datetime | None, now: datetime) -> bool:
        """Whether a password set then may not be changed yet."""
        return self.min_age is not None and set_at is not None and now < set_at + self.min_age

    def length(self, *, has_factor: bool) -> int:
        """The fewest characters, for somebody with or without a second factor."""
        return self.min_length_with_factor if has_factor else self.min_length


_NAMED: Final = {
    "nist": {
        "min_length": 15,
        "min_length_with_factor": 8,
        "classes": 0,
        "history": 0,
        "max_days": 0,
        "min_hours": 0,
    },
    "guide": {
        "min_length": 12,
        "min_length_with_factor": 12,
        "classes": 4,
        "history": 12,
        "max_days": 90,
        "min_hours": 24,
    },
}


def judge(
    password: str,
    policy: PasswordPolicy,
    *,
    has_factor: bool = False,
    words: Iterable[str] = (),
    known: Container[str] = (),
) -> tuple[str, ...]:
    """What is wrong with a password, one text each; nothing where it may be used.

    `words`: those of the place and the person (see `context_words`); `known`: the blocklist.

    >>> policy = PasswordPolicy.of(PasswordSettings())
    >>> judge("too short", policy)
    ('it has 9 characters, 15 are needed',)
    """
    shortest = policy.length(has_factor=has_factor)
    found = []
    if len(password) < shortest:
        found.append(f"it has {len(password)} characters, {shortest} are needed")
    if len(password) > policy.max_length:
        found.append(f"it is longer than {policy.max_length} characters")
    if policy.blocklist and password in known:
        found.append("it is among the passwords known from breaches, which attackers try first")
    if missing := _missing_classes(password, policy.classes):
        found.append("it lacks " + " and ".join(missing))
    if told := _word_within(password, words):
        found.append(f"without `{told}`, which others know, too little is left of it")
    if len(set(password)) < _FEWEST_DIFFERENT or _is_sequence(password):
        found.append("it only repeats or counts on")
    return tuple(found)


def context_words(*texts: str | None) -> tuple[str, ...]:
    """The words of names, logins and addresses that must not make up a password.

    >>> context_words("marie.laurent@limes.example", "Marie Laurent")
    ('marie', 'laurent', 'limes', 'example')
    """
    words = (w for text in texts if text for w in re.split(r"[\W_]+", text.casefold()))
    return tuple(dict.fromkeys(word for word in words if len(word) >= _SHORTEST_WORD))


def _missing_classes(password: str, needed: int) -> list[str]:
    if not needed:
        return []
    kinds = {_class_of(char) for char in password}
    missing = [name for number, name in enumerate(_CLASSES) if number not in kinds]
    return missing[: max(0, needed - len(kinds))]


def _class_of(char: str) -> int:
    category = unicodedata.category(char)
    if category in ("Ll", "Lo", "Lm"):
        return 0
    if category in ("Lu", "Lt"):
        return 1
    return 2 if category == "Nd" else 3


def _word_within(password: str, words: Iterable[str]) -> str | None:
    """The word that makes up most of it: without such words and years, hardly anything is left."""
    left, told = password.casefold(), None
    for word in sorted({w.casefold() for w in (*words, *COMMON_WORDS)}, key=len, reverse=True):
        if len(word) < _SHORTEST_WORD:
            continue
        plain = left.translate(_LEET)
        at = left.find(word) if word in left else plain.find(word.translate(_LEET))
        while at >= 0:
            told = told or word
            left = left[:at] + left[at + len(word) :]
            plain = left.translate(_LEET)
            at = left.find(word) if word in left else plain.find(word.translate(_LEET))
    if told is None:
        return None
    rest = [char for char in _YEAR.sub("", left) if char.isalnum()]
    return told if len(rest) < _OF_ONES_OWN else None


def _is_sequence(password: str) -> bool:
    """Whether nearly every character is the next, or the one before, of the one ahead of it."""
    steps = [ord(b) - ord(a) for a, b in pairwise(password)]
    counted = sum(step in (1, -1, 0, 9, -9) for step in steps)
    return bool(steps) and counted >= 0.8 * len(steps)
