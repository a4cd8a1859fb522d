"""What nodes tell of themselves, signed, and how it is kept and compared. Nothing here waits or sends."""
