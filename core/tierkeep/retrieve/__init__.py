"""Retrieval that the tiers share: an in-memory index per scope, lexical scoring, speaker and date priors."""
