"""Tests of a training row that are Python programs of asserts: `functional` and `pytest` of the released code data."""
