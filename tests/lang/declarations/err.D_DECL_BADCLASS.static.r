dtrap: failed to compile script err.D_DECL_BADCLASS.static.d: [D_DECL_BADCLASS] line 5: specified storage class not appropriate in D
    static int x;
    ^~~~~~
