stopped at 3
stopped at 4
unchanged, 0

