
  x                                                                 4
  y                                                                 5
x 4
y 5

