dtrap: failed to compile script err.D_PDESC_INVAL.large_number.d: [D_PDESC_INVAL] line 5: identifier 4294967296 exceeds maximum probe id
    4294967296 { }
    ^~~~~~~~~~
