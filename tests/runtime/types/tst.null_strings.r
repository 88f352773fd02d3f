0 1 1 0
1 1 0 0
1 [xt] tc 0
mine
1
100

