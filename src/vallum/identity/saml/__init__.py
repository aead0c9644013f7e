"""SAML 2.0, as the service provider: what was asked for, answered by a signed assertion, once."""
