7 9
positive negative zero
44 1
4 5
7 5

  positive                                                          8
