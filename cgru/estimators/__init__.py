"""Code that the scikit-learn, sktime and aeon estimators share: default network, model selection, checks and files."""
