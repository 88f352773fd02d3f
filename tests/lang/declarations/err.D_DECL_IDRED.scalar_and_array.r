dtrap: failed to compile script err.D_DECL_IDRED.scalar_and_array.d: [D_DECL_IDRED] line 6: identifier redeclared: a
	 current: scalar int
	previous: associative array int
    int a;
        ^
