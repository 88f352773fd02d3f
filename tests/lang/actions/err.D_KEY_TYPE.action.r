dtrap: failed to compile script err.D_KEY_TYPE.action.d: [D_KEY_TYPE] line 5: void expression may not be used as associative array index: key #1
    BEGIN { a[trace(1)] = 1; }
              ^~~~~~~~
