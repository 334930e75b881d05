"""Differences that are to go: features that are not there yet. This list is meant to be empty."""

RULES = []
