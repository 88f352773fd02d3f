dtrap: failed to compile script err.D_DECL_IDRED.key_type.d: [D_DECL_IDRED] line 6: identifier redeclared: a
	 current: associative array, key #1 of type string
	previous: associative array, key #1 of type int
    int a[string];
        ^~~~~~~~~
