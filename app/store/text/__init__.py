"""What both stores make of text: terms, and how much they say of a row."""
