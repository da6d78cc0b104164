"""Models behind the `ChatModel` and `Embedder` protocols; here, the offline ones that need nothing."""
