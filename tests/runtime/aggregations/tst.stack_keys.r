

    calls`add
    calls`main+0xOFFSET
                2

    calls`neg
    calls`main+0xOFFSET
                2

    calls`neg
    calls`main+0xOFFSET
                2

  calls`main                                          calls                                                             6
calls`add 2
calls`neg 4

  calls`add
add 2

  calls`neg
neg 4


