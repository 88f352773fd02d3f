_start
1
main
2

