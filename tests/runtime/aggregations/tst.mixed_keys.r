
        1  constant                                                          3
        0  run                                                              10
        2  run                                                              12
        1  run                                                             311
