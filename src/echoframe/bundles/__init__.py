"""Model bundles: what they are made of, where they come from, how they are loaded. `mini` lies beside the code."""
