"""What is compared, how it is loaded, and what is found."""
