"""Playing a recording into topics."""
