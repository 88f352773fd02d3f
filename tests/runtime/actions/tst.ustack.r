CPU     ID                    FUNCTION:NAME
CPU     ID                        add:entry 
              calls`add
              calls`main+0xOFFSET

CPU     ID                        add:entry 
              calls`add
  calls`main                                          calls`add                                           calls                                               calls`main+0xOFFSET                                     calls`add                                           0x10                                                0x10                                              |calls`add|1|1

