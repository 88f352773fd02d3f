dtrap: failed to compile script err.D_PRAGCTL_INVAL.include.d: [D_PRAGCTL_INVAL] line 5: invalid control directive: #include
    #include "x.h"
     ^~~~~~~
    hint: -C runs the C preprocessor first
