"""The policy inside PostgreSQL: roles, GRANT and row level security."""
