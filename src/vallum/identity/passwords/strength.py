"""How strong a password is, for whoever is typing one: a bar and a word of advice, never a verdict.

Pure. An estimate of how many guesses it takes; whether a password may be used is `judge`'s to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Strength", "strength"]

# Beyond this nothing is learned, and the estimate takes time that grows with the length.
_READ: Final = 48


@dataclass(frozen=True, slots=True)
class Strength:
    """`score`: 0 to 4; `guesses`: as a power of ten; `advice`: texts."""

    score: int
    guesses: float
    advice: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """For a program."""
        return {"score": self.score, "guesses_log10": round(self.guesses, 1), "advice": list(self.advice)}


def strength(password: str, words: Sequence[str] = ()) -> Strength:
    """The strength of a password, where `words` are known to whoever guesses."""
    from zxcvbn import zxcvbn

    if not password:
        return Strength(0, 0.0, ())
    found = zxcvbn(password[:_READ], user_inputs=list(words))
    feedback = found["feedback"]
    advice = [text for text in (feedback["warning"], *feedback["suggestions"]) if text]
    return Strength(int(found["score"]), float(found["guesses_log10"]), tuple(advice))
