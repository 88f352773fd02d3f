CPU FUNCTION                                 
CPU  -> either                                
CPU   | either:2                              
CPU  <- either                                
CPU  -> passed_on                             
CPU  <- passed_on                             
CPU  -> either                                
CPU   | either:2                              
CPU  <- either                                
CPU  -> either                                
CPU   | either:2                              
CPU  <- either                                
CPU  -> passed_on                             
CPU  <- passed_on                             
CPU  -> either                                
CPU   | either:2                              
CPU  <- either                                
CPU  -> factorial                                                5
CPU    -> factorial                                              4
CPU      -> factorial                                            3
CPU        -> factorial                                          2
CPU          -> factorial                                        1
CPU          <- factorial                                        1
CPU        <- factorial                                          2
CPU      <- factorial                                            6
CPU    <- factorial                                             24
CPU  <- factorial                                              120

