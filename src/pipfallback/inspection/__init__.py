"""What a wheel file itself tells, against what its name says."""
