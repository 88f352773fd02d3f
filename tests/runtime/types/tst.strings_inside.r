60 1 20 24 41
x odd place 7 odd places 0 |
x odd place 7 odd places 121 third|
1 0 changed third
5 place
odd place at 1

