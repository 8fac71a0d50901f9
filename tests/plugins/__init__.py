"""Plugins that pytest loads before anything else."""
