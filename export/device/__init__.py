"""Firmware images for boards."""
