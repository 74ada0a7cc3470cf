"""One module per rule, with its cases in the Markdown file of the same name."""
