all add 1
all eight 1
all main 1
glob add 1
glob eight 1
glob main 1
name _init 1
all neg 2
glob neg 2
all text 3
glob text 3

