"""Models written for this project, one noun per file; each returns its attention weights."""
