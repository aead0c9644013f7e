"""Passwords: what one must be, how it is kept, and how it is changed."""

from vallum.identity.passwords.hashing import Busy, Hasher
from vallum.identity.passwords.passwords import Passwords
from vallum.identity.passwords.policy import PasswordPolicy, judge
from vallum.identity.passwords.strength import Strength, strength

__all__ = ["Busy", "Hasher", "PasswordPolicy", "Passwords", "Strength", "judge", "strength"]
