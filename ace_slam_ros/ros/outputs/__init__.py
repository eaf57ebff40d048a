"""What the nodes publish: poses, status, map, diagnostics."""
