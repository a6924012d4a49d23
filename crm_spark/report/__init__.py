"""The summary of a run that a planner reads: one page, one JSON, one screen of text."""
