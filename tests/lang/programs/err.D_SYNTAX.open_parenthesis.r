dtrap: failed to compile script err.D_SYNTAX.open_parenthesis.d: [D_SYNTAX] line 5: closing ) expected in predicate before /
    BEGIN /(1/ { trace(1); }
             ^
