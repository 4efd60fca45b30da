"""How good sounds and embeddings are."""
