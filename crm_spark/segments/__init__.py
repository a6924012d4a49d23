"""Segmentation (细分): KMeans groups with canonical numbers, profiles and names a planner understands."""
