

              key  ------------- Distribution ------------- count    
             debt                @@@@@|                     -10      
            bread                     |@@@@@                10       
 a very long name of a thing                     |@@@@@@@@@@           20       


              key  ------------- Distribution ------------- count    
              one |@@@                                      1        
             five |@@@@@@@@@@@@@@@@@                        5        
              six |@@@@@@@@@@@@@@@@@@@@                     6        


              key  ------------- Distribution ------------- count    
          hundred         @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@| -100     
            score                                   @@@@@@| -20      
             half                                       @@| -5       

zoomed:

              key  ------------- Distribution ------------- count    
             debt           @@@@@@@@@@|                     -10      
            bread                     |@@@@@@@@@@           10       
 a very long name of a thing                     |@@@@@@@@@@@@@@@@@@@  20       


              key  ------------- Distribution ------------- count    
              one |@@@@@@@                                  1        
             five |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@        5        
              six |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 6        


              key  ------------- Distribution ------------- count    
          hundred   @@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@| -100     
            score                                 @@@@@@@@| -20      
             half                                       @@| -5       

as they are:
  debt                                                            -10                0
  one                                                               0                1
  five                                                              0                5
  six                                                               0                6
  bread                                                            10                0
  a very long name of a thing                                      20                0
one 1
five 5
six 6


              key  ------------- Distribution ------------- count    
              one |@@@                                      0        
             five |@@@@@@@@@@@@@@@@@                        2        
              six |@@@@@@@@@@@@@@@@@@@@                     3        


                                 key  ------------- Distribution ------------- count    
        1     2   3                4 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 1        

           value  ------------- Distribution ------------- count    
 |@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@ 9        

      key  ------------- Distribution ------------- count    
        0 |                                         0        
  min                                                               3
