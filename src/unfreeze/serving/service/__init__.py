"""The service: a packed model behind HTTP, with limits, counters, reload and a page of its own."""
