"""The gate before the registry: a challenger is judged against the champion, and promoted or not."""
