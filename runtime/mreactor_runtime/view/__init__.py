"""The pages on which reactions are seen: `mreactor-view`."""
