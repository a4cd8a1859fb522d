"""Keys and signatures: who said what, checkable by anyone."""
