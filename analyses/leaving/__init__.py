"""The parts of the analysis of dropout: a module a question."""
