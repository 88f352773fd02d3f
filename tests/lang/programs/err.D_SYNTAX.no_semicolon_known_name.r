dtrap: failed to compile script err.D_SYNTAX.no_semicolon_known_name.d: [D_SYNTAX] line 9: syntax error near "y"
    	y = 2;
    	^
