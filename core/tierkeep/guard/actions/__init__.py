"""The gate on tool calls: which values a call has, where each comes from, and whether that may cause an action (guard spec, section 6)."""
