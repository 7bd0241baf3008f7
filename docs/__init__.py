"""Documentation: pages, tables kept from simulations, and the pictures of the README."""
