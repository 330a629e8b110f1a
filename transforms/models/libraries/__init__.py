"""Libraries that greet whoever imports them, imported without a word."""
