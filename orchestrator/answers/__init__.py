"""Asking questions, finding answers and judging them. Independent of any particular model, tokenizer or task."""
