"""Code that the scikit-learn, sktime and aeon estimators share: default network, model selection and checks."""
