"""Finding calls and hearing them: what people ask for, and the page where they do."""
