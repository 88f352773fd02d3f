goes on

  a1                                                                1
  a2                                                                1
