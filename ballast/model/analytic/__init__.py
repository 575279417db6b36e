"""Floating-point model: formulas in numpy, for study, tuning and tolerance tests of the exact twin."""
