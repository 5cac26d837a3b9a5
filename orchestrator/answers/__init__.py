"""How a question is asked, where the answer stands, and whether it is right. Knows no model, tokenizer or task."""
