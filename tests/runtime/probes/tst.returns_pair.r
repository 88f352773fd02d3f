5 1
4 2
3 6
2 24
1 120
sum 35

  return                                                            2
  entry                                                             4
