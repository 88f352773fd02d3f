[hello] [he] 5
[a longer string] [a ] 15
[] [] 0

