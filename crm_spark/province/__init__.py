"""A synthetic province: an operator's raw files, made inside Spark from a size and a seed, and the truth planted in them."""
