"""What a program uses waggle by: swarms to open or to join, answers, records; `waggle` has all of it by name."""
