0 [] 4
abc

