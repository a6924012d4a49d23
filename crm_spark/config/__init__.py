"""Configuration: YAML read once, strictly, into frozen dataclasses."""
