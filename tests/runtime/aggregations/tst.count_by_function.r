eight 1
add 3
text 3
neg 6

