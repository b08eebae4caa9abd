"""TFDS builders of the published datasets, into array_record and without TensorFlow."""
