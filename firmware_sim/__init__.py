"""Recordings replayed through the shipped firmware, and proof that every engine decides alike."""
