dtrap: failed to compile script err.D_DECL_IDRED.two_types.d: [D_DECL_IDRED] line 6: identifier redeclared: x
	 current: scalar string
	previous: scalar int
    string x;
           ^
