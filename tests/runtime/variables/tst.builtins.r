dtrace:::BEGIN 1 0
dtrap 1 1 1
0 0 0 0
1 1 1
1 1
1 1
END

