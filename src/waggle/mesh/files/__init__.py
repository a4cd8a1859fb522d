"""Model files addressed by their content: shared from folders, fetched in verified chunks from several peers."""
