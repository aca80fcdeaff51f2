"""Break the package in small ways, one at a time, and name the breaks that no test notices."""
