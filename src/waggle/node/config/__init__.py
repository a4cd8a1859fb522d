"""What a node can be told, and where it was told so."""
