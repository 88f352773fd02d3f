dtrap: failed to compile script err.D_SYNTAX.translator.d: [D_SYNTAX] line 5: syntax error near "translator"
    translator int < int x > { };
    ^~~~~~~~~~
    hint: translators are not supported by this version of dtrap
