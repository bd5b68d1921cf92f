"""Statistics, comparison with published numbers, figures, Markdown and HTML of a run folder."""
