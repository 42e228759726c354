"""Moving the data: there, again, and back."""
