"""Deadlines: remembers when, and says so when it comes."""
