"""What the numbers mean: spending, leverage, cost per success. Pure functions over calls and a price book."""
