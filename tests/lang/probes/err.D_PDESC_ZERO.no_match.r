dtrap: failed to compile script err.D_PDESC_ZERO.no_match.d: [D_PDESC_ZERO] line 5: probe description nosuch:::probe does not match any probes
    nosuch:::probe { exit(0); }
    ^~~~~~~~~~~~~~
