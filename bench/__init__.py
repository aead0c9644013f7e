"""Benchmarks: each runs Vallum and its peer side by side and prints ratios."""
