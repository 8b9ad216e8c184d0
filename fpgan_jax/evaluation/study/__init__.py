"""What is compared, how it is loaded, and the rows of what is found."""
