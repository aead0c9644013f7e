"""The web server: pages for people."""
