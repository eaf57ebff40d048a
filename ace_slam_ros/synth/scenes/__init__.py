"""What stands in the worlds: rooms, corridors, furniture, people."""
