"""Pages that are written from the code when the site is built: what they tell stands in one place."""
