"""Where agents' commands run: confinement, workspaces, file access."""
