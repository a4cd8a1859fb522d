"""The parts of the OpenAI-compatible engine: bounded HTTP, the shapes on the wire, the reading of a stream."""
