"""The default head: local affine experts on a codebook, solved in closed form."""
