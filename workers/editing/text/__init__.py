"""Text as a model sees it: its tokens, its chat template, and where an object joins its prompt."""
