CPU     ID                    FUNCTION:NAME
CPU      1                           :BEGIN   first                            
CPU      1                           :BEGIN   second                           
CPU      3                           :ERROR   error                            
CPU      3                           :ERROR   error                            
CPU      2                             :END   end                              

