"""The door: files of an operator become conformed, pseudonymous raw tables, and nothing is lost on the way."""
