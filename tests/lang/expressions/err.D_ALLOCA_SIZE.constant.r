dtrap: failed to compile script err.D_ALLOCA_SIZE.constant.d: [D_ALLOCA_SIZE] line 5: alloca(5000) size larger than scratchsize 4096
    BEGIN { alloca(5000); }
            ^~~~~~~~~~~~
    hint: option scratchsize: -x scratchsize=SIZE, or #pragma D option
