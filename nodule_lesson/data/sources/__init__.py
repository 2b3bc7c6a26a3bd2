"""Public sources of scans and outlines: LUNA16, Imaging Data Commons, Kaggle."""
