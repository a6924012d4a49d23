"""Know every customer of a mobile operator, and offer each of them the one right thing, every month."""

__version__ = "0.1.0"
