"""The study for people: a page, Markdown and the tables of the README."""
