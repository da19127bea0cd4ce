"""Lines of text that belong together: datasets, pairs, normalisation, filters, splits. No ids."""
