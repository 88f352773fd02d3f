dtrap: failed to compile script err.D_SYNTAX.no_semicolon.d: [D_SYNTAX] line 8: syntax error near "y = 2;	/* no semicolon above */"
    	y = 2;	/* no semicolon above */
    	^
