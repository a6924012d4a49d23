"""Table contracts: every table is declared once, here."""
