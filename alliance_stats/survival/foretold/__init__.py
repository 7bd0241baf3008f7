"""How well leaving is foretold, and the chance of it from here on."""
