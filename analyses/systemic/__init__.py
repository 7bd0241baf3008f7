"""The parts of the analysis of the alliance as a family system: a module a question."""
