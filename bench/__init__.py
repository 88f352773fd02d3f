"""Measurements against other tracers: `make bench`. Nothing here is part of the tests or of CI.

The machines are shared and noisy, so a figure stands only beside its peer's, measured alternately in the same
run.
"""
