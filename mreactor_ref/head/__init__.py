"""The head: a mesh with the 52 ARKit expressions, and how it is drawn."""
