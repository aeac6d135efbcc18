"""The edges of the stages: each module reads files, calls the core and writes files."""
