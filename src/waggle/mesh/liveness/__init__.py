"""Who is there and who is not, by our own pings."""
