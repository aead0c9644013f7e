"""Who asks: proofs of identity, and what becomes of them."""

from vallum.identity.authenticator import Authenticator, Client, Refusal, Verdict

__all__ = ["Authenticator", "Client", "Refusal", "Verdict"]
