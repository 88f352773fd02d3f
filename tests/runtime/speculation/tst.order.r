discarded
text 3, 
text 1, hello

