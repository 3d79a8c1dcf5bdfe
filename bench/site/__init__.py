"""`make docs`: a site of the repository's Markdown, and of pages that are written from the code."""
