"""OpenID Connect, as the relying party: code flow with PKCE, and nothing else."""
