"""Models: windows and labels, features, training, measures, registry, scoring (domain.md, section 5)."""
