"""Middle tables and the unified customer view, from raw tables."""
