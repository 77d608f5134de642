"""Convolutional classifiers of pictures: lecture on CNNs, homework 3."""
