dtrap: failed to compile script err.D_TRUNC_AGGARG.a_string.d: [D_TRUNC_AGGARG] line 5: trunc( ) argument #1 is incompatible with prototype:
	prototype: aggregation
	 argument: string
    BEGIN { trunc("x"); }
                  ^~~
