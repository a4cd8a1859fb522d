"""waggle: many small models answer a question together, with no server in the middle."""

__version__ = "0.1.0"
