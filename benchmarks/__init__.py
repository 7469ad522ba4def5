"""Measurements. Each prints one table; what is compared is run side by side in one run."""
