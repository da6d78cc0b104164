"""What may be stored and what stored text may cause: limits on size, authority bound to origin."""
