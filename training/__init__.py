"""Makes the model: corpora, words, fit, calibration, evaluation."""
