h 1
a 1
next clause

