"""Measurements: each compares two things in one run, and says what the ratio should be."""
