"""Where public scans and outlines come from: LUNA16, Imaging Data Commons, Kaggle."""
