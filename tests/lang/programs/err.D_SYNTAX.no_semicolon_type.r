dtrap: failed to compile script err.D_SYNTAX.no_semicolon_type.d: [D_SYNTAX] line 7: syntax error near "uint32_t x;"
    	uint32_t x;
    	^~~~~~~~
