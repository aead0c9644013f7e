"""`python -m vallum.cli`."""

from vallum.cli import main

main()
