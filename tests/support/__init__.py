"""What tests share: a PostgreSQL server, the databases of real Odoos, golden files."""
