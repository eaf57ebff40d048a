"""Head weights in shared memory: one writer, many readers, never torn."""
