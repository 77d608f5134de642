"""Labelled source images and unlabelled target images."""
