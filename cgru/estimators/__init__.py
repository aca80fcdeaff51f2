"""What the estimators of scikit-learn, sktime and aeon share: the default network, its choice, checks and files."""
