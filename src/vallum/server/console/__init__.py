"""The console: pages that show who can do what, and why."""
