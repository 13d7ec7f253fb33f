"""Many raw scores in, one verdict out: calibration, combination, threshold and reasons."""
