"""Recordings replayed through the shipped firmware, and the proof that every engine decides alike."""
