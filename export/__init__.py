"""From a trained Keras model to int8, to a model blob, to firmware and boards."""
