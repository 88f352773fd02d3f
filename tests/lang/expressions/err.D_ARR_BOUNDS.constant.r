dtrap: failed to compile script err.D_ARR_BOUNDS.constant.d: [D_ARR_BOUNDS] line 6: index outside array bounds: 3, max is 3
    BEGIN { trace(a[3]); }
                  ^~~~
