"""Value (价值): what a subscriber is worth, and the personal index that gathers value, scores and groups."""
