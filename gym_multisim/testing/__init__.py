"""Fakes and contract checks, for people who write simulators."""
