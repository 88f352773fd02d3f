dtrap: failed to compile script err.D_AGG_REDEF.two_functions.d: [D_AGG_REDEF] line 5: aggregation redefined: @a
	 current: @a = sum( )
	previous: @a = count( ) : line 5
    BEGIN { @a = count(); @a = sum(1); exit(0); }
                               ^~~~~~
    hint: give one of the two another name
