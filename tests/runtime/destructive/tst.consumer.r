CPU     ID                    FUNCTION:NAME
CPU      1                           :BEGIN beforecommand 1

CPU      1                           :BEGIN 
  a                                                                 1
  b                                                                 2
b
a

