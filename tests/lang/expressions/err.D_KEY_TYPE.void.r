dtrap: failed to compile script err.D_KEY_TYPE.void.d: [D_KEY_TYPE] line 5: void expression may not be used as associative array index: key #1
    BEGIN { a[bcopy(copyin(0, 4), alloca(4), 4)] = 1; }
              ^~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~
