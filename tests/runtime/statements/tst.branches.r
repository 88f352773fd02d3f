one
two
3 after 2

