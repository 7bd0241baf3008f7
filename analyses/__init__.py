"""Research questions: one short script each, `main(data, out)`; nothing runs at import."""
