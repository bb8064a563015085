"""Classifiers that hear style."""

from __future__ import annotations

from melodygen.classifiers.cnn import CnnClassifier

__all__ = ["CnnClassifier"]
