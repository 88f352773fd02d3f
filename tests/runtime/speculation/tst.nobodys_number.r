x is 6
x is 6

