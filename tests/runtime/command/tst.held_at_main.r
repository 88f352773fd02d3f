main
2

