dtrap: failed to compile script err.D_UNKNOWN.member_twice.d: [D_UNKNOWN] line 7: failed to define member 'x': Duplicate member, enumerator, or variable name.
    	char x;
    	^~~~~~~
