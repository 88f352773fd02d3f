dtrap: failed to compile script err.D_ALLOCA_SIZE.scratchsize.d: [D_ALLOCA_SIZE] line 6: alloca(513) size larger than scratchsize 512
    BEGIN { copyin(0, 512); copyin(0, 513); }
                            ^~~~~~~~~~~~~~
    hint: option scratchsize: -x scratchsize=SIZE, or #pragma D option
