dtrap: failed to compile script err.D_DECL_IDRED.key_count.d: [D_DECL_IDRED] line 6: identifier redeclared: a
	 current: associative array of int, tuple length 2
	previous: associative array of int, tuple length 1
    int a[int, int];
        ^~~~~~~~~~~
