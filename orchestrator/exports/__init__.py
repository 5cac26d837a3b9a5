"""Models as folders and bundles that other tools load, each with its card."""
