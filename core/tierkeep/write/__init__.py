"""The write side after the ledger's append: segment, extract, reconcile."""
