dtrap: failed to compile script err.D_KEY_TYPE.void.d: [D_KEY_TYPE] line 5: void expression may not be used as aggregation index: key #1
    BEGIN { @a[(void)1] = count(); }
               ^~~~~~~
