"""Taking results away: labels and masks in formats that others read, and a version's network."""
