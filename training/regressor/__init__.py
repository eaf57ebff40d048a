"""What `train_regressor.py` is made of."""
