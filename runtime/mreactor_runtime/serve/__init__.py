"""The service: clips come over HTTP, and reactions go back; `mreactor-serve`."""
